// What designs have beside the SDRAM's pins, where they have it: `Top` is the class that Verilator makes of a design.
#pragma once

#include <cstdint>
#include <deque>
#include <type_traits>
#include <utility>

// The host's side of the designs there are: a register port, or a stream of bytes each way.
template <class Top, class = void>
struct Host {
  static constexpr bool has_bus = false;
  static std::uint64_t output(const Top& top) {
    return top.i___05Fready << 9 | top.o___05Fvalid << 8 | (top.o___05Fvalid ? top.o___05Fpayload : 0);
  }
};
template <class Top>
struct Host<Top, std::void_t<decltype(std::declval<Top&>().bus___05Faddress)>> {
  static constexpr bool has_bus = true;
  static std::uint64_t output(const Top& top) { return top.bus___05Fread_data; }
};
template <class Top, class = void>
struct Line {
  void before_edge(Top&) {}
  void after_edge(Top&) {}
  std::deque<std::uint8_t> to_board, from_board;
};
template <class Top>
struct Line<Top, std::void_t<decltype(std::declval<Top&>().i___05Fpayload)>> {
  void before_edge(Top& top) {
    if (top.i___05Fvalid && top.i___05Fready) to_board.pop_front();
    if (top.o___05Fvalid && top.o___05Fready) from_board.push_back(top.o___05Fpayload);
  }
  void after_edge(Top& top) {
    top.o___05Fready = 1;
    top.i___05Fvalid = !to_board.empty();
    if (!to_board.empty()) top.i___05Fpayload = to_board.front();
  }
  std::deque<std::uint8_t> to_board, from_board;
};

// Which units do something in this cycle, in a design that tells (narrows.hw.activity).
template <class Top, class = void>
struct Activity {
  static std::uint64_t of(const Top&) { return 0; }
};
template <class Top>
struct Activity<Top, std::void_t<decltype(std::declval<Top&>().activity)>> {
  static std::uint64_t of(const Top& top) { return top.activity; }
};
