// What an ECP5 slice is used for: look-up tables, multiplexers, carry chains, flip-flops and distributed memory.
//
// The models of this folder have two states and no delays. A parameter that asks for what is not modelled stops the
// build ($fatal while the design is elaborated), an input that does so stops the simulation ($stop).

// Z is bit {D, C, B, A} of INIT.
module LUT4 #(
  parameter [15:0] INIT = 16'h0000
) (
  input A, B, C, D,
  output Z
);
  assign Z = INIT[{D, C, B, A}];
endmodule

// Two LUT4 as a table of five inputs, and two of those as one of six.
module PFUMX (
  input ALUT, BLUT, C0,
  output Z
);
  assign Z = C0 ? ALUT : BLUT;
endmodule

module L6MUX21 (
  input D0, D1, SD,
  output Z
);
  assign Z = SD ? D1 : D0;
endmodule

// Two bits of a carry chain. In each a table of four inputs says whether the carry propagates, and the quarter of it
// for C = D = 0 what the carry is if it does not. INJECT1 hides the carry from the sum and the quarter from the carry.
module CCU2C #(
  parameter [15:0] INIT0 = 16'h0000,
  parameter [15:0] INIT1 = 16'h0000,
  parameter INJECT1_0 = "YES",
  parameter INJECT1_1 = "YES"
) (
  input CIN, A0, B0, C0, D0, A1, B1, C1, D1,
  output S0, S1, COUT
);
  generate
    if ((INJECT1_0 != "NO" && INJECT1_0 != "YES") || (INJECT1_1 != "NO" && INJECT1_1 != "YES")) begin
      $fatal(1, "CCU2C: INJECT1 %s, %s is not modelled", INJECT1_0, INJECT1_1);
    end
  endgenerate
  wire propagate0 = INIT0[{D0, C0, B0, A0}];
  wire propagate1 = INIT1[{D1, C1, B1, A1}];
  wire generate0 = INJECT1_0 == "NO" && INIT0[{2'b00, B0, A0}];
  wire generate1 = INJECT1_1 == "NO" && INIT1[{2'b00, B1, A1}];
  wire carry = propagate0 ? CIN : generate0;
  assign COUT = propagate1 ? carry : generate1;
  assign S0 = propagate0 ^ (INJECT1_0 == "NO" && CIN);
  assign S1 = propagate1 ^ (INJECT1_1 == "NO" && carry);
endmodule

// Powers up with REGSET, as after configuration; there is no global reset (GSR) afterwards. LSR goes before CE.
module TRELLIS_FF #(
  parameter GSR = "ENABLED",
  parameter CEMUX = "1",
  parameter CLKMUX = "CLK",
  parameter LSRMUX = "LSR",
  parameter SRMODE = "LSR_OVER_CE",
  parameter REGSET = "RESET",
  parameter LSRMODE = "LSR"
) (
  input CLK, LSR, CE, DI, M,
  output reg Q
);
  generate
    if (CLKMUX != "CLK" && CLKMUX != "INV") $fatal(1, "TRELLIS_FF: CLKMUX %s is not modelled", CLKMUX);
    if (CEMUX != "CE" && CEMUX != "INV" && CEMUX != "1" && CEMUX != "0") $fatal(1, "TRELLIS_FF: CEMUX %s is not modelled", CEMUX);
    if (LSRMUX != "LSR" && LSRMUX != "INV") $fatal(1, "TRELLIS_FF: LSRMUX %s is not modelled", LSRMUX);
    if (SRMODE != "LSR_OVER_CE" && SRMODE != "ASYNC") $fatal(1, "TRELLIS_FF: SRMODE %s is not modelled", SRMODE);
    if (REGSET != "RESET" && REGSET != "SET") $fatal(1, "TRELLIS_FF: REGSET %s is not modelled", REGSET);
    if (LSRMODE != "LSR") $fatal(1, "TRELLIS_FF: LSRMODE %s is not modelled", LSRMODE);
  endgenerate
  localparam [0:0] VALUE = REGSET == "SET";
  wire enable = CEMUX == "1" || (CEMUX == "CE" && CE) || (CEMUX == "INV" && !CE);
  wire reset = LSRMUX == "INV" ? !LSR : LSR;
  initial Q = VALUE;
  generate
    if (SRMODE == "ASYNC" && CLKMUX == "CLK") begin
      always @(posedge CLK or posedge reset) if (reset) Q <= VALUE; else if (enable) Q <= DI;
    end else if (SRMODE == "ASYNC") begin
      always @(negedge CLK or posedge reset) if (reset) Q <= VALUE; else if (enable) Q <= DI;
    end else if (CLKMUX == "CLK") begin
      always @(posedge CLK) if (reset) Q <= VALUE; else if (enable) Q <= DI;
    end else begin
      always @(negedge CLK) if (reset) Q <= VALUE; else if (enable) Q <= DI;
    end
  endgenerate
endmodule

// 16 words of 4 bits, written at the clock edge and read at once.
module TRELLIS_DPR16X4 #(
  parameter WCKMUX = "WCK",
  parameter WREMUX = "WRE",
  parameter [63:0] INITVAL = 64'h0
) (
  input [3:0] DI, WAD, RAD,
  input WRE, WCK,
  output [3:0] DO
);
  generate
    if (WCKMUX != "WCK" || WREMUX != "WRE") $fatal(1, "TRELLIS_DPR16X4: WCKMUX %s, WREMUX %s is not modelled", WCKMUX, WREMUX);
  endgenerate
  reg [3:0] words [0:15];
  integer i;
  initial for (i = 0; i < 16; i = i + 1) words[i] = INITVAL[4 * i +: 4];
  always @(posedge WCK) if (WRE) words[WAD] <= DI;
  assign DO = words[RAD];
endmodule
