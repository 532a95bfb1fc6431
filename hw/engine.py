"""The bottleneck engine: expand, depthwise and project joined by the memories between them.

::

    external memory -> program reader -> weights, constants, descriptors
                    -> stem / load ----> activation memory -> array -> line buffers -> depthwise
                                              ^   ^             ^                          |
                       store <----------------+   +-- writeback +--------------------------+ (filtered words)

Every joint is a pair of positions: pixels a producer has completed and pixels a consumer has done with. No unit knows
more of its neighbour.
"""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.activations.memory import ActivationMemory
from narrows.hw.activations.stream import ActivationLoad, ActivationStore
from narrows.hw.activity import ACTIVITY, activity
from narrows.hw.array.array import ACTIVATION_DELAY, PointwiseArray, sum_delay
from narrows.hw.array.passes import Sequencer
from narrows.hw.config import POSITION_BITS, EngineConfig
from narrows.hw.control.control import Control
from narrows.hw.control.counters import NAMES
from narrows.hw.control.program_reader import RINGS, Kind, LaneMemory, ProgramReader, depthwise_constant_load, depthwise_weight_load
from narrows.hw.depthwise.line_buffer import LineBuffer, LineWriter
from narrows.hw.depthwise.unit import DepthwiseUnit
from narrows.hw.dram.arbiter import ControllerBurst, MemoryArbiter
from narrows.hw.dram.dma import BYTE_ADDRESS_BITS, COUNT_BITS, MemoryReader, MemoryWriter, ReadData
from narrows.hw.link.memory import host_memory_ports
from narrows.hw.parts.delay import delayed
from narrows.hw.parts.queue import Queue
from narrows.hw.parts.stream_register import StreamRegister
from narrows.hw.stem.unit import Stem
from narrows.hw.writeback.writeback import DEPTH, Writeback

#: A position that lies after every pixel a plane may have.
ALL = (1 << (POSITION_BITS - 1)) - 1

#: Words of 16 bits in the queue of each reader of external memory: what a block RAM holds. With half of it, and the program's
#: bursts between its own, a picture comes some percent slower than the bus could bring it.
READ_AHEAD = 1024

#: Clients of activation memory in order of precedence, and of external memory.
_WRITES = ("depthwise", "project", "stem", "load")
_READS = ("shortcut", "store")


_PORTS = {
    "start": In(1), "address": In(BYTE_ADDRESS_BITS), "words": In(COUNT_BITS),
    "done": Out(1), "bad": Out(1), "block": Out(1), "events": Out(len(NAMES)),
    "request": Out(stream.Signature(ControllerBurst)), "read": In(ReadData), "write": Out(stream.Signature(16)),
    "host": In(host_memory_ports),
}


class Engine(wiring.Component):
    """Runs the program of ``words`` 16-bit words at byte ``address`` after ``start``, until ``done``.

    ``request``, ``read``, ``write`` go to the memory controller. ``events``: a bit per counter of ``NAMES``; ``block``: a block is over;
    ``bad``: the program made no sense; ``activity``, only if ``watched``: :data:`narrows.hw.activity.ACTIVITY`.
    ``host``: a reader and a writer that come after the engine's own. ``start`` and ``clear`` reset their way to memory too, so no transfer
    of theirs may be under way then. ``clear`` ends a program that does not end by itself: before it, ``stop`` must have been high,
    which lets no more requests pass, until the controller has served all that it had taken.
    """

    def __init__(self, *, config: EngineConfig, watched: bool = False):
        self._config, self._watched = config, watched
        super().__init__({**_PORTS, "stop": In(1), "clear": In(1), **({"activity": Out(len(ACTIVITY))} if watched else {})})

    def elaborate(self, platform):
        m = Module()
        config = self._config
        units = {
            "control": Control(config=config), "program": ProgramReader(config=config),
            "memory": ActivationMemory(config=config, writes=len(_WRITES), reads=len(_READS)),
            "sequencer": Sequencer(config=config), "array": PointwiseArray(config=config),
            "line_buffer": LineBuffer(config=config), "line_writer": LineWriter(config=config),
            "depthwise": DepthwiseUnit(config=config), "writeback": Writeback(config=config),
            "stem": Stem(config=config), "load": ActivationLoad(config=config), "store": ActivationStore(config=config),
            "source": MemoryReader(depth=READ_AHEAD), "program_reader": MemoryReader(depth=READ_AHEAD), "sink": MemoryWriter(),
            # A block ends when its output has left; the program runs ahead of need.
            "arbiter": MemoryArbiter(readers=3, writers=2, patient=1, guests=1), "descriptors": Queue(width=16, depth=512),
            "depthwise_weights": LaneMemory(load=depthwise_weight_load(config), lanes=3),
            "depthwise_constants": LaneMemory(load=depthwise_constant_load(config), lanes=config.depthwise_requantisers),
        }
        joints = _Joints(config=config, units=units)

        # A start resets every unit for a cycle, each by a register of its own; the program is read from the next cycle on.
        reset = Signal()
        m.d.sync += reset.eq(self.start | self.clear)
        for name, unit in {**units, "joints": joints}.items():
            here = Signal(name=f"reset_{name}_dup")
            m.d.sync += here.eq(reset)
            m.submodules[name] = ResetInserter(here)(unit)
        m.d.comb += [
            joints.start.eq(delayed(m, self.start, 3, name="start", reset_less=False)),
            joints.address.eq(self.address), joints.words.eq(self.words),
            *(getattr(self, name).eq(getattr(joints, name)) for name in ("done", "bad", "block", "events")),
            *((self.activity.eq(activity(units)),) if self._watched else ()),
        ]
        for name in ("read", "write", "host"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(joints, name))
        m.d.comb += [
            self.request.payload.eq(joints.request.payload), self.request.valid.eq(joints.request.valid & ~self.stop),
            joints.request.ready.eq(self.request.ready & ~self.stop),
        ]
        return m


class _Joints(wiring.Component):
    """How the engine's ``units`` are joined. ``start`` follows a reset."""

    def __init__(self, *, config: EngineConfig, units: dict[str, wiring.Component]):
        self._config = config
        for name, unit in units.items():
            setattr(self, f"_{name}", unit)
        self._d = self._control.descriptor
        super().__init__(_PORTS)

    def elaborate(self, platform):
        m = Module()
        self._external_memory(m)
        self._program_memories(m)
        positions = self._positions(m)
        self._source_and_sink(m, positions)
        self._pointwise(m, positions)
        self._interior(m, positions)
        outstanding = self._results(m)

        # Units are far from each other: their flags take a cycle to get together.
        quiet = Signal(8)
        m.d.sync += quiet.eq(Cat(
            ~self._sequencer.running, outstanding == 0, self._depthwise.done, self._stem.done, self._load.done, self._store.done,
            self._source.done, self._sink.done,
        ))
        m.d.comb += [
            self._control.quiet.eq(quiet.all()),
            self.done.eq(self._control.done), self.block.eq(self._control.block), self.bad.eq(self._program.bad),
            self.events.eq(Cat(
                1, self._array.forming, self._depthwise.forming, self._sequencer.waits_weights, self._sequencer.waits_data,
                self._arbiter.read_words, self._arbiter.write_words,
            )),
        ]
        return m

    def _go(self, m, unit, when=1):
        """The block's start as ``unit`` sees it, a cycle after control's, if the descriptor says ``when``."""
        go = Signal(name=f"go_{unit}_dup")
        m.d.sync += go.eq(self._control.start & when)
        return go

    def _external_memory(self, m):
        """What a block reads, the program that runs ahead, what a block writes; after them the host."""
        d, arbiter = self._d, self._arbiter
        for index, reader in enumerate((self._source, self._program_reader)):
            wiring.connect(m, reader.request, arbiter.read_requests[index])
            wiring.connect(m, reader.read, arbiter.reads[index])
        wiring.connect(m, self._sink.request, arbiter.write_requests[0])
        wiring.connect(m, self._sink.write, arbiter.writes[0])
        host = wiring.flipped(self.host)
        wiring.connect(m, host.read_request, arbiter.read_requests[-1])
        wiring.connect(m, host.read, arbiter.reads[-1])
        wiring.connect(m, host.write_request, arbiter.write_requests[-1])
        wiring.connect(m, host.write, arbiter.writes[-1])
        for name in ("request", "read", "write"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(arbiter, name))
        m.d.comb += [
            self._source.start.eq(self._go(m, "source", d.flags.load | d.flags.stem)),
            self._source.address.eq(d.source.address), self._source.words.eq(d.source.words),
            self._sink.start.eq(self._go(m, "sink", d.flags.store)),
            self._sink.address.eq(d.sink.address), self._sink.words.eq(d.sink.words),
            self._program_reader.start.eq(self.start),
            self._program_reader.address.eq(self.address), self._program_reader.words.eq(self.words),
        ]

    def _program_memories(self, m):
        """The program goes to the descriptor queue, the array's own memories and the depthwise unit's."""
        config, program, depthwise = self._config, self._program, self._depthwise
        wiring.connect(m, self._program_reader.o, program.i)
        wiring.connect(m, program.descriptor, self._descriptors.i)
        wiring.connect(m, self._descriptors.o, self._control.i)
        weights, constants = self._depthwise_weights, self._depthwise_constants
        ready = {kind: program.loaded[n] for n, kind in enumerate(RINGS)}
        # Weights are read on the op's way to the first slice, constants when the last sum is there, for every pixel again.
        late = {"weights": ACTIVATION_DELAY, "constants": sum_delay(config) + config.pixels}
        released = {
            name: delayed(m, getattr(self._sequencer, f"released_{name}"), cycles, name=f"released_{name}", reset_less=False)
            for name, cycles in late.items()
        }
        freed = {
            Kind.WEIGHTS: released["weights"], Kind.CONSTANTS: released["constants"],
            Kind.DEPTHWISE_WEIGHTS: depthwise.weights_freed, Kind.DEPTHWISE_CONSTANTS: depthwise.constants_freed,
        }
        m.d.comb += [
            self._array.load_weight.eq(program.load_weight), self._array.load_constant.eq(program.load_constant),
            weights.load.eq(program.load_depthwise_weight), constants.load.eq(program.load_depthwise_constant),
            weights.address.eq(depthwise.weight_address), depthwise.weight_data.eq(weights.word),
            constants.address.eq(depthwise.constant_address), depthwise.constant_data.eq(constants.word),
            self._sequencer.weights.eq(ready[Kind.WEIGHTS]), self._sequencer.constants.eq(ready[Kind.CONSTANTS]),
            depthwise.weights_ready.eq(ready[Kind.DEPTHWISE_WEIGHTS]),
            depthwise.constants_ready.eq(ready[Kind.DEPTHWISE_CONSTANTS]),
            *(program.freed[n].eq(freed[kind]) for n, kind in enumerate(RINGS)),
        ]

    def _positions(self, m):
        """Pixels complete since the block's start: of the source, the filtered interior, the output and what left."""
        marks = dict(zip(_WRITES, self._memory.marks))
        d, positions = self._d, {}
        for name, mark in (
            ("source", marks["stem"] + marks["load"]), ("filtered", marks["depthwise"]), ("output", marks["project"])
        ):
            positions[name] = position = Signal(POSITION_BITS, name=f"{name}_position")
            m.d.sync += position.eq(position + mark)
            with m.If(self._go(m, name)):
                m.d.sync += position.eq(0)
        # A block that stores nothing must not see how far the last one that did had come.
        positions["stored"] = Mux(d.flags.store, self._store.stored, 0)
        with m.If(self._go(m, "resident", ~d.flags.load & ~d.flags.stem)):
            m.d.sync += positions["source"].eq(ALL)
        return positions

    def _source_and_sink(self, m, positions):
        """The picture or a spilled tensor comes in, an output goes out, both through activation memory."""
        d, stem, load, store = self._d, self._stem, self._load, self._store
        consumed = Signal(POSITION_BITS)
        m.d.sync += consumed.eq(Mux(
            d.flags.hold_source, positions["output"],
            Mux(d.flags.project_first, self._sequencer.project_consumed, self._sequencer.expand_consumed),
        ))
        m.submodules.source_words = words = StreamRegister(16)
        wiring.connect(m, self._source.o, words.i)
        m.d.comb += [
            stem.start.eq(self._go(m, "stem", d.flags.stem)), stem.fields.eq(d.stem), stem.consumed.eq(consumed),
            load.start.eq(self._go(m, "load", d.flags.load)), load.fields.eq(d.load), load.consumed.eq(consumed),
            store.start.eq(self._go(m, "store", d.flags.store)), store.fields.eq(d.store),
            store.written.eq(Mux(d.flags.project, positions["output"], positions["filtered"])),
            stem.i.payload.eq(words.o.payload), load.i.payload.eq(words.o.payload),
            stem.i.valid.eq(words.o.valid & d.flags.stem), load.i.valid.eq(words.o.valid & d.flags.load),
            words.o.ready.eq(Mux(d.flags.stem, stem.i.ready, load.i.ready)),
        ]
        wiring.connect(m, store.o, self._sink.i)
        memory = self._memory
        for name, unit in (("depthwise", self._depthwise), ("project", self._writeback), ("stem", stem), ("load", load)):
            wiring.connect(m, unit.o, memory.writes[_WRITES.index(name)])
        wiring.connect(m, store.read_request, memory.reads[_READS.index("store")])
        m.d.comb += [store.answer.eq(memory.answers[_READS.index("store")]), store.data.eq(memory.data)]

    def _pointwise(self, m, positions):
        """The sequencer drives array and activation memory."""
        d, sequencer, array = self._d, self._sequencer, self._array
        m.d.comb += [
            sequencer.expand_fields.eq(d.expand), sequencer.project_fields.eq(d.project),
            sequencer.start_expand.eq(self._go(m, "expand", d.flags.expand)),
            sequencer.start_project.eq(self._go(m, "project", d.flags.project)),
            sequencer.expand_available.eq(positions["source"]),
            sequencer.project_available.eq(Mux(d.flags.project_first, positions["source"], positions["filtered"])),
            sequencer.project_freed.eq(positions["stored"]),
            array.valid.eq(sequencer.valid), array.op.eq(sequencer.op),
            self._memory.address.eq(sequencer.op.address), array.words.eq(self._memory.words),
            array.zero_points[0].eq(d.zero_expand), array.zero_points[1].eq(d.zero_project),
            array.ranges[0].eq(d.range_expand), array.ranges[1].eq(d.range_project),
            array.signed_input.eq(d.flags.signed),
        ]

    def _interior(self, m, positions):
        """Expanded words go to the line buffers; the depthwise unit reads them and writes filtered words."""
        d, writer, lines, depthwise = self._d, self._line_writer, self._line_buffer, self._depthwise
        m.d.comb += [
            writer.fields.eq(d.lines), writer.start.eq(self._go(m, "lines")),
            writer.valid.eq(self._array.o_valid & ~self._array.o.project), writer.data.eq(self._array.o.data),
            writer.end_group.eq(self._array.o.end_group), writer.end_segment.eq(self._array.o.end_segment),
            lines.write.eq(writer.write),
            depthwise.fields.eq(d.depthwise), depthwise.start.eq(self._go(m, "depthwise", d.flags.expand)),
            depthwise.expanded.eq(writer.expanded), self._sequencer.expand_freed.eq(depthwise.freed),
            depthwise.projected.eq(Mux(d.flags.project, self._sequencer.project_consumed, positions["stored"])),
        ]
        for bank in range(3):
            m.d.comb += [lines.address[bank].eq(depthwise.line_address[bank]), depthwise.line_data[bank].eq(lines.data[bank])]

    def _results(self, m):
        """Project's words are written back; a new result begins only if the queue is sure to hold it."""
        d, writeback, sequencer, array, memory = self._d, self._writeback, self._sequencer, self._array, self._memory
        wiring.connect(m, writeback.read, memory.reads[_READS.index("shortcut")])
        m.d.comb += [
            writeback.start.eq(self._go(m, "writeback")), writeback.slices.eq(d.project.slices),
            writeback.output.eq(d.output), writeback.shortcut.eq(d.shortcut), writeback.residual.eq(d.residual),
            writeback.answer.eq(memory.answers[_READS.index("shortcut")]), writeback.answer_data.eq(memory.data),
            writeback.i_valid.eq(array.o_valid & array.o.project), writeback.i.data.eq(array.o.data),
            *(writeback.i.ends[name].eq(array.o[name]) for name in ("end_group", "end_segment", "end_slice")),
        ]
        # Pixels of results begun whose words have not been written. It is known some cycles later, in which results begin.
        outstanding = Signal(range(2 * DEPTH))
        begun = Mux(sequencer.begin, sum(sequencer.op.pixels), 0)
        m.d.sync += [
            outstanding.eq(outstanding + begun - writeback.written),
            sequencer.hold_project.eq(outstanding > DEPTH - 8 * self._config.pixels),
        ]
        return outstanding
