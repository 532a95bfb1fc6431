// What the design prints, and that it stopped: Verilator's library is compiled with these instead of its own.

#pragma once

int narrows_print(const char* format, ...);
#define VL_PRINTF narrows_print
#define VL_USER_STOP
