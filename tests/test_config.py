"""The engine's description: what it refuses, and how."""

import dataclasses

import pytest

from narrows.hw.config import EngineConfig

POWERS = ("group", "outputs", "pixels", "weight_words", "constant_words", "line_words", "depthwise_words", "image_words")


@pytest.mark.parametrize("name", POWERS)
@pytest.mark.parametrize("value", [0, -8, 3, 48])
def test_powers_of_two(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be a power of two, not {value}[.]$"):
        EngineConfig(**{name: value})


@pytest.mark.parametrize(("changes", "pattern"), [
    ({"group": 2}, "group must be 4, 8 or 16 channels, not 2"),
    ({"group": 16}, "outputs must equal group .16.* not 8"),
    ({"pixels": 8}, "pixels must be 1, 2 or 4, not 8"),
    ({"requantisers": 4}, "requantisers must equal outputs .8. unless pixels is 1, not 4"),
    ({"requantisers": 3, "pixels": 1}, "requantisers must divide outputs .8., 3 does not"),
    ({"requantisers": 16, "pixels": 1}, "requantisers must divide outputs .8., 16 does not"),
    ({"requantisers": 0}, "requantisers must divide outputs .8., 0 does not"),
    ({"depthwise_requantisers": 0}, "depthwise_requantisers must be 1 to group .8., not 0"),
    ({"depthwise_requantisers": 9}, "depthwise_requantisers must be 1 to group .8., not 9"),
    ({"residual_lanes": 3}, "residual_lanes must be 0 or divide group .8., 3 does not"),
    ({"residual_lanes": -1}, "residual_lanes must be 0 or divide group .8., -1 does not"),
    ({"activation_words": 26625}, "activation_words must be a positive multiple of pixels .2., not 26625"),
    ({"sdram": "W9825"}, "sdram must be one of W9825G6KH-6, AS4C32M16SB-7, any-256M-75, not 'W9825'"),
    ({"products": "slow"}, "products must be direct or fast, not 'slow'"),
    ({"activation_words": 0}, "activation_words must be a positive multiple of pixels .2., not 0"),
])  # fmt: skip
def test_refusals(changes, pattern):
    with pytest.raises(ValueError, match=f"{pattern}[.]$"):
        EngineConfig(**changes)


def test_the_digest_names_the_configuration():
    config = EngineConfig()
    assert config.digest == EngineConfig().digest and len(config.digest) == 16
    names = ("line_words", "activation_words", "weight_words")
    others = [dataclasses.replace(config, **{name: 2 * getattr(config, name)}) for name in names]
    assert len({config.digest, *(other.digest for other in others)}) == 4
    assert all(other.onchip_bytes > config.onchip_bytes for other in others)
    assert config.bank_words * config.pixels == config.activation_words


@pytest.mark.parametrize(("changes", "macs", "multipliers", "chip"), [
    ({}, 152, 152, 152),
    ({"products": "fast"}, 152, 64 + 8 + 24, 64 + 24),
    ({"products": "fast", "pixels": 4}, 280, 128 + 16 + 24, 128 + 24),
    ({"products": "fast", "group": 4, "outputs": 4, "pixels": 1, "requantisers": 4}, 28, 8 + 2 + 12, 8 + 12),
])  # fmt: skip
def test_fast_products_take_half_the_multipliers_and_share_some(changes, macs, multipliers, chip):
    config = EngineConfig(**changes)
    assert (config.macs_per_cycle, config.multipliers, config.chip_multipliers) == (macs, multipliers, chip)


@pytest.mark.parametrize(("changes", "slices"), [
    ({}, 1),
    ({"constant_words": 256}, 2),
    ({"constant_words": 16}, 2),
    ({"constant_words": 16, "pixels": 4}, 4),
    ({"constant_words": 256, "pixels": 4}, 2),
    ({"constant_words": 16, "pixels": 1}, 1),
    ({"constant_words": 512, "pixels": 1, "requantisers": 2}, 4),
])
def test_slices_share_a_memory_of_constants_where_their_results_leave_time(changes, slices):
    config = EngineConfig(**changes)
    assert config.constant_sharing == slices and config.sharing <= slices <= max(config.sharing, config.result_spacing)
