// What units do over time, kept as intervals: for traces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

// `bit` of line `line` was on in `busy` of the cycles from `begin` up to but not including `end`, the first and the last among them.
struct Interval {
  std::uint64_t line, bit, begin, end, busy;
};

// Lines are sets of bits of which one may be on at a time (else the lowest counts), so that a line's intervals do not overlap.
class Watch {
 public:
  // The bits of READ, WRITE and refresh at the SDRAM's pins begin here.
  static constexpr int SDRAM = 32;

  Watch() = default;
  // A bit that is off for up to `pause` cycles, while nothing else of its line is on, has one interval.
  Watch(std::vector<std::uint64_t> lines, std::uint64_t pause) : lines_(std::move(lines)), open_(lines_.size()), pause_(pause) {}

  bool on() const { return !lines_.empty(); }

  void note(std::uint64_t cycle, std::uint64_t bits) {
    for (std::size_t line = 0; line < lines_.size(); ++line) {
      const std::uint64_t here = bits & lines_[line];
      if (!here) continue;
      const auto bit = static_cast<std::uint64_t>(__builtin_ctzll(here));
      Interval& last = open_[line];
      if (last.busy && last.bit == bit && cycle - last.end <= pause_) {
        last.end = cycle + 1;
        ++last.busy;
      } else {
        if (last.busy) ended_.push_back(last);
        last = {line, bit, cycle, cycle + 1, 1};
      }
    }
  }

  std::vector<Interval> intervals() const {
    std::vector<Interval> all = ended_;
    for (const Interval& last : open_) {
      if (last.busy) all.push_back(last);
    }
    return all;
  }

 private:
  std::vector<std::uint64_t> lines_;
  std::vector<Interval> open_, ended_;  // each line's last one; those before
  std::uint64_t pause_ = 0;
};
