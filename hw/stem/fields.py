"""What :mod:`narrows.hw.stem.unit` is told, and how a compiler arranges weights for it.

A convolution of ``kh x kw`` with ``channels`` inputs becomes a pointwise one over ``K`` words of ``group`` bytes,
see :func:`stem_layout`.
"""

from amaranth.hdl import signed
from amaranth.lib import data

from narrows.errors import Unfit
from narrows.hw.activations.address_generator import WalkFields, walk_fields
from narrows.hw.activations.stream import ring_pixels
from narrows.hw.config import MAX_STRIDE, POSITION_BITS, EngineConfig
from narrows.hw.parts.gearbox import COUNT_BITS
from narrows.hw.stem.picture import OFFSET_BITS, PLACE_BITS

#: Bits of the sizes of kernel and output.
KERNEL_BITS, SIZE_BITS = 4, 12

#: Bits of the bytes from a patch to the next one beside it.
STEP_BITS = 6

#: A picture has fewer bytes.
MAX_PICTURE_BYTES = 1 << 22

#: All in bytes but where another unit is named. ``walk``: where the patches go; ``ring``: patches that fit there.
#: ``words``: the picture, in 16-bit words; ``groups``: the same in words of ``group``; ``total``: the picture.
#: ``line``: a row. ``base``/``left``: place of the first patch's first row, and its offset in it (both negative or 0).
#: ``down``/``right``: from a patch to the next one below and beside. ``span``: the rows of a patch, rounded up.
#: ``lines`` rows of a patch have ``windows`` full words and ``rest`` bytes, which share a word; ``alone``: and are
#: read on their own, as there are more than one. ``rows``/``columns``: patches. ``zero``: the byte outside.
StemFields = data.StructLayout({
    "walk": WalkFields,
    "ring": POSITION_BITS,
    "words": COUNT_BITS,
    "groups": PLACE_BITS - 2,
    "total": PLACE_BITS - 1,
    "line": OFFSET_BITS - 1,
    "base": signed(PLACE_BITS),
    "left": signed(OFFSET_BITS),
    "down": PLACE_BITS - 1,
    "right": STEP_BITS,
    "span": PLACE_BITS - 1,
    "lines": KERNEL_BITS,
    "windows": KERNEL_BITS,
    "rest": KERNEL_BITS,
    "alone": 1,
    "rows": SIZE_BITS,
    "columns": SIZE_BITS,
    "zero": 8,
})


def _split(kh: int, kw: int, channels: int, group: int) -> tuple[int, int]:
    """Words of a patch's row of their own, and the bytes of it that share a word with the other rows'."""
    run = kw * channels
    if run <= group:
        return 1, 0
    windows, rest = divmod(run, group)
    # Where the rows' rests don't fit one word together, each gets a word of its own.
    return (windows, rest) if kh * rest <= group else (windows + 1, 0)


def stem_layout(kh: int, kw: int, channels: int, group: int) -> list[list[tuple[int, int, int] | None]]:
    """Which input ``(ky, kx, channel)`` each byte of a patch's words holds; ``None``: any byte, its weights are zero.

    A row of the patch has ``kw * channels`` bytes. It gets words of its own for as many whole words as it fills (or one, if
    it does not fill any), row by row; what is left of all rows is put together in one last word if it fits there, and in
    one more word per row if not.
    """
    windows, rest = _split(kh, kw, channels, group)
    rows = [[(ky, kx, c) for kx in range(kw) for c in range(channels)] for ky in range(kh)]
    words: list[list[tuple[int, int, int] | None]]
    words = [list(row[j * group : (j + 1) * group]) for row in rows for j in range(windows)]
    if rest:
        words.append([value for row in rows for value in row[windows * group :]])
    return [word + [None] * (group - len(word)) for word in words]


def stem_fields(
    *,
    config: EngineConfig,
    height: int,
    width: int,
    channels: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    output: tuple[int, int],
    zero: int,
    base: int,
    size: int,
) -> dict:
    """Checked values of :data:`StemFields` (``Unfit``).

    The picture is ``height x width x channels``; ``kernel``, ``stride``, ``padding`` (above, left of the picture) and
    ``output`` are (rows, columns); ``zero`` is the byte outside the picture; the patches go to the ``size`` words from
    ``base`` on of every bank.
    """
    (kh, kw), (sh, sw), (top, left), (rows, columns) = kernel, stride, padding, output
    most = (1 << KERNEL_BITS) - 1
    if min(kh, kw, channels) < 1 or not (kh <= most and _split(kh, kw, channels, config.group)[0] <= most):
        raise Unfit(
            f"The stem's kernel has 1 to {most} rows of 1 to {most * config.group} bytes, "
            f"not {kh} rows of {kw} pixels of {channels} channels."
        )
    if sw * channels >= 1 << STEP_BITS:
        raise Unfit(f"The stem's patches are fewer than {1 << STEP_BITS} bytes apart, not {sw} pixels of {channels} channels.")
    if not (1 <= sh <= MAX_STRIDE and 1 <= sw <= MAX_STRIDE):
        raise Unfit(f"The stem's strides are 1 to {MAX_STRIDE}, not {sh} and {sw}.")
    if not (0 <= top < kh and 0 <= left < kw):
        raise Unfit(f"A padding of {top} rows and {left} columns does not fit a kernel of {kh}x{kw}.")
    if not (1 <= rows < 1 << SIZE_BITS and 1 <= columns < 1 << SIZE_BITS and rows * columns < 1 << POSITION_BITS - 1):
        raise Unfit(f"An output of {rows}x{columns} pixels cannot be counted.")
    if (rows - 1) * sh - top >= height or (columns - 1) * sw - left >= width:
        raise Unfit(f"An output of {rows}x{columns} pixels reaches beyond the picture of {height}x{width}.")
    if not 0 <= zero <= 255:
        raise Unfit(f"The byte outside the picture is 0 to 255, not {zero}.")
    line, total = width * channels, height * width * channels
    if height < 1 or width < 1 or total >= MAX_PICTURE_BYTES:
        raise Unfit(f"A picture of {height}x{width} pixels has no bytes, or {MAX_PICTURE_BYTES} or more.")
    ring = config.image_words * config.group
    if kh * line + 2 * config.group > ring:
        raise Unfit(f"{kh} rows of {line} bytes and two words do not fit the picture memory of {ring} bytes.")
    windows, rest = _split(kh, kw, channels, config.group)
    words = kh * windows + (rest > 0)
    if size < words:
        raise Unfit(f"A region of {size} words per bank does not hold one patch of {words} words.")
    if base + size > config.bank_words:
        raise Unfit(f"A region of {size} words at {base} exceeds the banks of {config.bank_words} words.")
    walk = walk_fields(base=base, size=size, stride=words, groups=words)
    return {
        "walk": walk,
        "ring": ring_pixels(config, walk),
        "words": -(-total // 2),
        "groups": -(-total // config.group),
        "total": total,
        "line": line,
        "base": -top * line,
        "left": -left * channels,
        "down": sh * line,
        "right": sw * channels,
        "span": kh * line + config.group - 1,
        "lines": kh,
        "windows": windows,
        "rest": rest,
        "alone": int(rest > 1),
        "rows": rows,
        "columns": columns,
        "zero": zero,
    }


def stem_pixel_cycles(*, kernel: tuple[int, int], channels: int, group: int) -> int:
    """Cycles per patch if nothing holds the stem up; a row of patches takes about ten more."""
    windows, rest = _split(*kernel, channels, group)
    return max(2, kernel[0] * windows + (rest > 0) + (kernel[0] if rest > 1 else 0))
