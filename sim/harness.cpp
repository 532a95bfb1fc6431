// The board around the engine: clock, the SDRAM chip and a host that reads and writes registers, or sends and receives bytes.
// Compiled with Verilator's output of the top module into a library that narrows.sim.simulator calls.
//
// One step is one clock period. The chip sees at a rising edge what the controller drove up to that
// edge, and what the chip then drives reaches the controller's input register at the next one.

#include <algorithm>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "Vtop.h"
#include "message.h"
#include "ports.h"
#include "sdram_chip.h"
#include "verilated.h"
#include "watch.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

// Cycles from presenting a register's address to reading its value.
constexpr int BUS_LATENCY = 2;
// In a waveform a clock period lasts 10 ns whatever the clock, so that time / 10 is the cycle.
constexpr std::uint64_t TICKS = 10;

// The chip has as many data pins as the controller. Its words are little-endian bytes, as the hosts this runs on are.
using Word = std::remove_reference_t<decltype(std::declval<Vtop&>().sdram___05Fdq_i)>;

// What the design printed last, and whether it stopped, until the simulation in this thread has taken note of it.
thread_local std::string printed;
thread_local bool stopped = false;

template <class Top>
class Simulation {
 public:
  Simulation(const SdramParameters& part, const char* trace, std::uint64_t begin, std::uint64_t end)
      : chip_(part), trace_path_(trace ? trace : ""), begin_(begin), end_(end) {
    context_.timeunit(-9);
    context_.timeprecision(-9);
#if VM_TRACE
    if (!trace_path_.empty()) context_.traceEverOn(true);
#endif
    top_ = std::make_unique<Top>(&context_, "top");
    top_->clk = 0;
    top_->eval();
  }

  ~Simulation() {
#if VM_TRACE
    if (vcd_) vcd_->close();
#endif
    top_->final();
  }

  void bus_write(std::uint8_t address, std::uint32_t data) {
    if constexpr (Host<Top>::has_bus) {
      top_->bus___05Faddress = address;
      top_->bus___05Fwrite_data = data;
      top_->bus___05Fwrite = 1;
      top_->eval();
      step();
      top_->bus___05Fwrite = 0;
      top_->eval();
      step();  // its effect comes a cycle later
    }
  }

  std::uint32_t bus_read(std::uint8_t address) {
    if constexpr (Host<Top>::has_bus) {
      top_->bus___05Faddress = address;
      top_->eval();
      for (int i = 0; i < BUS_LATENCY; ++i) step();
      return top_->bus___05Fread_data;
    }
    return 0;
  }

  // Steps until the board has sent `wanted` bytes that nobody took, a rule of the SDRAM or an assertion is broken, or `limit`
  // cycles are over.
  void run_line(std::uint64_t limit, std::size_t wanted) {
    while (limit-- && !chip_.violated && stop_.empty() && line_.from_board.size() < wanted) step();
  }

  Line<Top>& line() { return line_; }

  // Steps until `done` is high (if asked), a rule of the SDRAM or an assertion is broken, or `limit` cycles are over.
  std::uint64_t run(std::uint64_t limit, bool until_done) {
    std::uint64_t ran = 0;
    while (ran < limit && !chip_.violated && stop_.empty() && !(until_done && top_->done)) {
      step();
      ++ran;
    }
    return ran;
  }

  // From the next cycle on, keep the intervals of these lines; none: no longer.
  void watch(const std::uint64_t* lines, std::size_t count, std::uint64_t pause) {
    watch_ = Watch(std::vector<std::uint64_t>(lines, lines + count), pause);
  }
  Watch& watched() { return watch_; }

  bool done() const { return top_->done; }
  bool busy() const { return top_->busy; }
  std::uint64_t cycle() const { return cycle_; }
  std::uint64_t pins() const { return pins_; }
  const std::vector<std::uint64_t>& blocks() const { return blocks_; }
  const std::string& stop() const { return stop_; }
  BasicSdramChip<Word>& chip() { return chip_; }

 private:
  void step() {
    SdramPins pins;
    pins.cke = top_->sdram___05Fcke;
    pins.cs_n = top_->sdram___05Fcs_n;
    pins.ras_n = top_->sdram___05Fras_n;
    pins.cas_n = top_->sdram___05Fcas_n;
    pins.we_n = top_->sdram___05Fwe_n;
    pins.ba = top_->sdram___05Fba;
    pins.a = top_->sdram___05Fa;
    pins.dqm = top_->sdram___05Fdqm;
    pins.dq = top_->sdram___05Fdq_o;
    pins.dq_oe = top_->sdram___05Fdq_oe;
    chip_.posedge(cycle_, pins);
    line_.before_edge(*top_);
    top_->clk = 1;
    top_->eval();
    dump(0);
    top_->sdram___05Fdq_i = chip_.dq();
    line_.after_edge(*top_);
    top_->clk = 0;
    top_->eval();
    dump(TICKS / 2);
    ++cycle_;
    if (top_->block_done) blocks_.push_back(cycle_);
    note_pins();
    if (watch_.on()) watch_.note(cycle_, Activity<Top>::of(*top_) | sdram_activity());
    if (stopped) {
      if (stop_.empty()) stop_ = printed;
      stopped = false;
    }
  }

  // The commands at the chip's pins as bits of a watch, above those of the design.
  std::uint64_t sdram_activity() const {
    if (top_->sdram___05Fcs_n || top_->sdram___05Fcas_n) return 0;
    const int command = !top_->sdram___05Fras_n ? (top_->sdram___05Fwe_n ? 2 : 3) : top_->sdram___05Fwe_n ? 0 : 1;
    return std::uint64_t(command < 3) << (Watch::SDRAM + command);  // READ, WRITE, refresh; to set the mode is none of them
  }

  // Folds every output into `pins_`; data that the chip does not see may be anything.
  void note_pins() {
    const std::uint64_t sdram[] = {top_->sdram___05Fcke, top_->sdram___05Fcs_n, top_->sdram___05Fras_n, top_->sdram___05Fcas_n,
                                   top_->sdram___05Fwe_n, top_->sdram___05Fba, top_->sdram___05Fa, top_->sdram___05Fdqm,
                                   top_->sdram___05Fdq_oe, top_->sdram___05Fdq_oe ? top_->sdram___05Fdq_o : Word(0)};
    const std::uint64_t others[] = {Host<Top>::output(*top_), top_->busy, top_->done, top_->block_done};
    for (const std::uint64_t pin : sdram) pins_ = (pins_ ^ pin) * 0x9E3779B97F4A7C15u;
    for (const std::uint64_t pin : others) pins_ = (pins_ ^ pin) * 0x9E3779B97F4A7C15u;
    pins_ ^= pins_ >> 32;
  }

  void dump(std::uint64_t phase) {
#if VM_TRACE
    if (trace_path_.empty() || cycle_ < begin_ || cycle_ >= end_) return;
    if (!vcd_) {
      vcd_ = std::make_unique<VerilatedVcdC>();
      top_->trace(vcd_.get(), 99);
      vcd_->open(trace_path_.c_str());
    }
    vcd_->dump(cycle_ * TICKS + phase);
    if (phase && cycle_ + 1 == end_) vcd_->flush();
#else
    (void)phase;
#endif
  }

  VerilatedContext context_;
  BasicSdramChip<Word> chip_;
  std::unique_ptr<Top> top_;
  Line<Top> line_;
  std::string trace_path_;
  std::uint64_t begin_, end_;
  std::uint64_t cycle_ = 0;
  std::uint64_t pins_ = 0;
  std::vector<std::uint64_t> blocks_;  // the cycles at which block_done was high
  Watch watch_;
  std::string stop_;                   // what the design said when it stopped, if it did
#if VM_TRACE
  std::unique_ptr<VerilatedVcdC> vcd_;
#endif
};

using Board = Simulation<Vtop>;

}  // namespace

int narrows_print(const char* format, ...) {
  char line[1024];
  std::va_list arguments;
  va_start(arguments, format);
  const int length = std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  printed = line;
  while (!printed.empty() && printed.back() == '\n') printed.pop_back();
  return length;
}

void vl_stop(const char*, int, const char*) { stopped = true; }

extern "C" {

// `p` has the fields of SdramParameters in order, 64 bits each.
Board* narrows_create(const std::uint64_t* p, const char* trace, std::uint64_t begin, std::uint64_t end) {
  SdramParameters part{};
  part.row_bits = p[0], part.column_bits = p[1], part.bank_bits = p[2], part.cas_latency = p[3];
  std::memcpy(&part.period_ps, p + 4, sizeof part - offsetof(SdramParameters, period_ps));
  return new Board(part, trace, begin, end);
}
void narrows_destroy(Board* s) { delete s; }
void narrows_bus_write(Board* s, std::uint8_t address, std::uint32_t data) { s->bus_write(address, data); }
std::uint32_t narrows_bus_read(Board* s, std::uint8_t address) { return s->bus_read(address); }
std::uint64_t narrows_run(Board* s, std::uint64_t limit, int until_done) { return s->run(limit, until_done); }
std::uint64_t narrows_cycle(Board* s) { return s->cycle(); }
std::uint64_t narrows_pins(Board* s) { return s->pins(); }
void narrows_send(Board* s, const std::uint8_t* data, std::uint64_t count) {
  s->line().to_board.insert(s->line().to_board.end(), data, data + count);
}
// Runs for up to `limit` cycles until there are `room` bytes, and hands over those there are.
std::uint64_t narrows_receive(Board* s, std::uint8_t* out, std::uint64_t room, std::uint64_t limit) {
  s->run_line(limit, room);
  auto& bytes = s->line().from_board;
  const auto count = std::min<std::uint64_t>(room, bytes.size());
  std::copy_n(bytes.begin(), count, out);
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
  return count;
}
int narrows_done(Board* s) { return s->done(); }
int narrows_busy(Board* s) { return s->busy(); }
const char* narrows_violation(Board* s) { return s->chip().message.c_str(); }
const char* narrows_stopped(Board* s) { return s->stop().c_str(); }

std::uint64_t narrows_blocks(Board* s, std::uint64_t* out, std::uint64_t room) {
  const auto& blocks = s->blocks();
  std::copy_n(blocks.begin(), std::min<std::uint64_t>(room, blocks.size()), out);
  return blocks.size();
}

void narrows_watch(Board* s, const std::uint64_t* lines, std::uint64_t count, std::uint64_t pause) { s->watch(lines, count, pause); }
// The intervals so far, ended ones in the order of their ends, then those that last.
std::uint64_t narrows_watched(Board* s, Interval* out, std::uint64_t room) {
  const auto& intervals = s->watched().intervals();
  std::copy_n(intervals.begin(), std::min<std::uint64_t>(room, intervals.size()), out);
  return intervals.size();
}

std::uint64_t narrows_memory_size(Board* s) { return sizeof(Word) * s->chip().words(); }
void narrows_load(Board* s, std::uint64_t address, const std::uint8_t* data, std::uint64_t count) {
  std::memcpy(reinterpret_cast<std::uint8_t*>(s->chip().memory()) + address, data, count);
}
void narrows_read(Board* s, std::uint64_t address, std::uint8_t* data, std::uint64_t count) {
  std::memcpy(data, reinterpret_cast<const std::uint8_t*>(s->chip().memory()) + address, count);
}

}  // extern "C"
