// The 18 by 18 multiplier alone: no cascade, no C operand. Each of A, B, product and pipeline has its register or none,
// all on CLK0 and CE0.
//
// SIGNEDA and SIGNEDB have to be constants: whether the input registers delay them is not modelled.
module MULT18X18D #(
  parameter REG_INPUTA_CLK = "NONE", REG_INPUTA_CE = "CE0", REG_INPUTA_RST = "RST0",
  parameter REG_INPUTB_CLK = "NONE", REG_INPUTB_CE = "CE0", REG_INPUTB_RST = "RST0",
  parameter REG_INPUTC_CLK = "NONE", REG_INPUTC_CE = "CE0", REG_INPUTC_RST = "RST0",
  parameter REG_PIPELINE_CLK = "NONE", REG_PIPELINE_CE = "CE0", REG_PIPELINE_RST = "RST0",
  parameter REG_OUTPUT_CLK = "NONE", REG_OUTPUT_CE = "CE0", REG_OUTPUT_RST = "RST0",
  parameter CLK0_DIV = "ENABLED", CLK1_DIV = "ENABLED", CLK2_DIV = "ENABLED", CLK3_DIV = "ENABLED",
  parameter HIGHSPEED_CLK = "NONE", GSR = "ENABLED", CAS_MATCH_REG = "FALSE",
  parameter SOURCEB_MODE = "B_SHIFT", MULT_BYPASS = "DISABLED", RESETMODE = "SYNC"
) (
  input A0, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17,
  input B0, B1, B2, B3, B4, B5, B6, B7, B8, B9, B10, B11, B12, B13, B14, B15, B16, B17,
  input C0, C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13, C14, C15, C16, C17,
  input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
  input CLK0, CLK1, CLK2, CLK3, CE0, CE1, CE2, CE3, RST0, RST1, RST2, RST3,
  output P0, P1, P2, P3, P4, P5, P6, P7, P8, P9, P10, P11, P12, P13, P14, P15, P16, P17,
  output P18, P19, P20, P21, P22, P23, P24, P25, P26, P27, P28, P29, P30, P31, P32, P33, P34, P35
);
  generate
    if ((REG_INPUTA_CLK != "NONE" && REG_INPUTA_CLK != "CLK0") || (REG_INPUTB_CLK != "NONE" && REG_INPUTB_CLK != "CLK0")
        || (REG_PIPELINE_CLK != "NONE" && REG_PIPELINE_CLK != "CLK0") || (REG_OUTPUT_CLK != "NONE" && REG_OUTPUT_CLK != "CLK0")
        || REG_INPUTC_CLK != "NONE" || HIGHSPEED_CLK != "NONE") begin
      $fatal(1, "MULT18X18D: only registers on CLK0 of A, B, pipeline and product are modelled");
    end
    if (REG_INPUTA_CE != "CE0" || REG_INPUTB_CE != "CE0" || REG_PIPELINE_CE != "CE0" || REG_OUTPUT_CE != "CE0") begin
      $fatal(1, "MULT18X18D: only CE0 is modelled");
    end
    if (CAS_MATCH_REG != "FALSE" || MULT_BYPASS != "DISABLED") $fatal(1, "MULT18X18D: only a multiplier on its own is modelled");
  endgenerate
  always @* if (SOURCEA || SOURCEB || RST0 || RST1 || RST2 || RST3) begin
    $display("%m: MULT18X18D: cascade (SOURCEA, SOURCEB) and resets are not modelled");
    $stop;
  end

  wire signed [18:0] a, b, a1, b1;
  wire signed [35:0] product, product1, result;
  assign a = {SIGNEDA && A17, A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
  assign b = {SIGNEDB && B17, B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
  MULT18X18D_STAGE #(.WIDTH(19), .CLOCK(REG_INPUTA_CLK)) input_a (.clk(CLK0), .enable(CE0), .i(a), .o(a1));
  MULT18X18D_STAGE #(.WIDTH(19), .CLOCK(REG_INPUTB_CLK)) input_b (.clk(CLK0), .enable(CE0), .i(b), .o(b1));
  assign product = a1 * b1;
  MULT18X18D_STAGE #(.WIDTH(36), .CLOCK(REG_PIPELINE_CLK)) pipeline (.clk(CLK0), .enable(CE0), .i(product), .o(product1));
  MULT18X18D_STAGE #(.WIDTH(36), .CLOCK(REG_OUTPUT_CLK)) out (.clk(CLK0), .enable(CE0), .i(product1), .o(result));
  assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
          P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = result;
endmodule

// A register, or with CLOCK "NONE" a wire.
module MULT18X18D_STAGE #(
  parameter WIDTH = 36,
  parameter CLOCK = "NONE"
) (
  input clk, enable,
  input [WIDTH-1:0] i,
  output [WIDTH-1:0] o
);
  generate
    if (CLOCK == "NONE") begin
      assign o = i;
    end else begin
      reg [WIDTH-1:0] value = 0;
      always @(posedge clk) if (enable) value <= i;
      assign o = value;
    end
  endgenerate
endmodule
