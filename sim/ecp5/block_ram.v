// Block RAM: 18 kbit, two ports of 1, 2, 4, 9 or 18 bits each, or one that writes and one that reads 36 bits.
//
// A port of width W addresses 16384 / W words (of 9, 18 and 36 bits 2048, 1024 and 512), and the word's address is on the
// uppermost pins AD. Pins below it are byte enables of a write: AD[1:0] of 18 bits, ADA[3:0] of 36. A 36-bit word goes in as
// {DIB, DIA} and comes out as {DOB, DOA}.
//
// What a port shows while it writes is WRITEMODE's choice. What it reads from a word that the *other* port is writing is
// undefined: nothing that is public promises old or new data. Here it is the old data with every written bit inverted, as
// in the gateware's own memories, so what uses such an answer computes something else than it should. If both ports write
// one word the simulation stops.
//
// The ports have one clock; resets and chip selects stay low.
module DP16KD #(
  parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18,
  parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG",
  parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL",
  parameter CSDECODE_A = "0b000", CSDECODE_B = "0b000",
  parameter CLKAMUX = "CLKA", CLKBMUX = "CLKB",
  parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC", GSR = "ENABLED", INIT_DATA = "STATIC",
  parameter WID = 0,
  parameter [319:0] INITVAL_00 = 320'h0, INITVAL_01 = 320'h0, INITVAL_02 = 320'h0, INITVAL_03 = 320'h0,
  parameter [319:0] INITVAL_04 = 320'h0, INITVAL_05 = 320'h0, INITVAL_06 = 320'h0, INITVAL_07 = 320'h0,
  parameter [319:0] INITVAL_08 = 320'h0, INITVAL_09 = 320'h0, INITVAL_0A = 320'h0, INITVAL_0B = 320'h0,
  parameter [319:0] INITVAL_0C = 320'h0, INITVAL_0D = 320'h0, INITVAL_0E = 320'h0, INITVAL_0F = 320'h0,
  parameter [319:0] INITVAL_10 = 320'h0, INITVAL_11 = 320'h0, INITVAL_12 = 320'h0, INITVAL_13 = 320'h0,
  parameter [319:0] INITVAL_14 = 320'h0, INITVAL_15 = 320'h0, INITVAL_16 = 320'h0, INITVAL_17 = 320'h0,
  parameter [319:0] INITVAL_18 = 320'h0, INITVAL_19 = 320'h0, INITVAL_1A = 320'h0, INITVAL_1B = 320'h0,
  parameter [319:0] INITVAL_1C = 320'h0, INITVAL_1D = 320'h0, INITVAL_1E = 320'h0, INITVAL_1F = 320'h0,
  parameter [319:0] INITVAL_20 = 320'h0, INITVAL_21 = 320'h0, INITVAL_22 = 320'h0, INITVAL_23 = 320'h0,
  parameter [319:0] INITVAL_24 = 320'h0, INITVAL_25 = 320'h0, INITVAL_26 = 320'h0, INITVAL_27 = 320'h0,
  parameter [319:0] INITVAL_28 = 320'h0, INITVAL_29 = 320'h0, INITVAL_2A = 320'h0, INITVAL_2B = 320'h0,
  parameter [319:0] INITVAL_2C = 320'h0, INITVAL_2D = 320'h0, INITVAL_2E = 320'h0, INITVAL_2F = 320'h0,
  parameter [319:0] INITVAL_30 = 320'h0, INITVAL_31 = 320'h0, INITVAL_32 = 320'h0, INITVAL_33 = 320'h0,
  parameter [319:0] INITVAL_34 = 320'h0, INITVAL_35 = 320'h0, INITVAL_36 = 320'h0, INITVAL_37 = 320'h0,
  parameter [319:0] INITVAL_38 = 320'h0, INITVAL_39 = 320'h0, INITVAL_3A = 320'h0, INITVAL_3B = 320'h0,
  parameter [319:0] INITVAL_3C = 320'h0, INITVAL_3D = 320'h0, INITVAL_3E = 320'h0, INITVAL_3F = 320'h0
) (
  input DIA0, DIA1, DIA2, DIA3, DIA4, DIA5, DIA6, DIA7, DIA8, DIA9, DIA10, DIA11, DIA12, DIA13, DIA14, DIA15, DIA16, DIA17,
  input ADA0, ADA1, ADA2, ADA3, ADA4, ADA5, ADA6, ADA7, ADA8, ADA9, ADA10, ADA11, ADA12, ADA13,
  input CEA, OCEA, CLKA, WEA, CSA0, CSA1, CSA2, RSTA,
  output DOA0, DOA1, DOA2, DOA3, DOA4, DOA5, DOA6, DOA7, DOA8, DOA9, DOA10, DOA11, DOA12, DOA13, DOA14, DOA15, DOA16, DOA17,
  input DIB0, DIB1, DIB2, DIB3, DIB4, DIB5, DIB6, DIB7, DIB8, DIB9, DIB10, DIB11, DIB12, DIB13, DIB14, DIB15, DIB16, DIB17,
  input ADB0, ADB1, ADB2, ADB3, ADB4, ADB5, ADB6, ADB7, ADB8, ADB9, ADB10, ADB11, ADB12, ADB13,
  input CEB, OCEB, CLKB, WEB, CSB0, CSB1, CSB2, RSTB,
  output DOB0, DOB1, DOB2, DOB3, DOB4, DOB5, DOB6, DOB7, DOB8, DOB9, DOB10, DOB11, DOB12, DOB13, DOB14, DOB15, DOB16, DOB17
);
  localparam WIDE_A = DATA_WIDTH_A == 36;
  localparam WIDE_B = DATA_WIDTH_B == 36;
  generate
    if (CLKAMUX != "CLKA" || CLKBMUX != "CLKB") $fatal(1, "DP16KD: an inverted clock is not modelled");
    if (CSDECODE_A != "0b000" || CSDECODE_B != "0b000") $fatal(1, "DP16KD: chip selects are not modelled");
    if (INIT_DATA != "STATIC") $fatal(1, "DP16KD: INIT_DATA %s is not modelled", INIT_DATA);
  endgenerate
  always @* if (CSA0 || CSA1 || CSA2 || CSB0 || CSB1 || CSB2 || RSTA || RSTB || (WEB && (WIDE_A || WIDE_B))) begin
    $display("%m: DP16KD: chip selects, resets and writes on port B of a RAM with 36 bits are not modelled");
    $stop;
  end

  // Storage is cut into lines as wide as the wider kind of word.
  localparam LINE = WIDE_A || WIDE_B ? 36 : 18;
  localparam [20479:0] INITIAL = {
    INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39, INITVAL_38,
    INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32, INITVAL_31, INITVAL_30,
    INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B, INITVAL_2A, INITVAL_29, INITVAL_28,
    INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24, INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20,
    INITVAL_1F, INITVAL_1E, INITVAL_1D, INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18,
    INITVAL_17, INITVAL_16, INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10,
    INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
    INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01, INITVAL_00
  };
  reg [LINE-1:0] lines [0:18432/LINE-1];
  generate
    if (INITIAL != 0) begin
      // Of the 20 bits for 18, the upper two are not there.
      integer i;
      initial for (i = 0; i < 1024; i = i + 1) lines[18 * i / LINE][18 * i % LINE +: 18] = INITIAL[20 * i +: 18];
    end
  endgenerate

  wire [9:0] line_a, line_b;
  wire [35:0] mask_a, mask_b, data_a, data_b, next_a, next_b, output_a, output_b;
  wire one_line = line_a == line_b;
  wire write_a = CEA && WEA;
  wire write_b = CEB && WEB;
  DP16KD_PORT #(.WIDTH(DATA_WIDTH_A), .LINE(LINE), .REGMODE(REGMODE_A), .WRITEMODE(WRITEMODE_A)) a (
    .clk(CLKA), .enable(CEA && (WEA || !(WIDE_A || WIDE_B))), .write(WEA), .output_enable(OCEA),
    .address({ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0}),
    .i({DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0,
        DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0}),
    .old({{36 - LINE{1'b0}}, lines[line_a]}), .line(line_a), .mask(mask_a), .data(data_a),
    .other_mask(one_line && write_b ? mask_b : 36'h0), .other_data(data_b), .next(next_a), .o(output_a)
  );
  DP16KD_PORT #(.WIDTH(DATA_WIDTH_B), .LINE(LINE), .REGMODE(REGMODE_B), .WRITEMODE(WRITEMODE_B)) b (
    .clk(CLKB), .enable(CEB), .write(WEB), .output_enable(OCEB),
    .address({ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0}),
    .i({18'h0, DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0}),
    .old({{36 - LINE{1'b0}}, lines[line_b]}), .line(line_b), .mask(mask_b), .data(data_b),
    .other_mask(one_line && write_a ? mask_a : 36'h0), .other_data(data_a), .next(next_b), .o(output_b)
  );
  // If both write one line, next is the same for both.
  always @(posedge CLKA) if (write_a) lines[line_a] <= next_a[LINE-1:0];
  always @(posedge CLKB) if (write_b) lines[line_b] <= next_b[LINE-1:0];

  assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0}
    = WIDE_B ? output_b[17:0] : output_a[17:0];
  assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0}
    = WIDE_B ? output_b[35:18] : output_b[17:0];
endmodule

// What a port makes of its address, data and the line it is about.
module DP16KD_PORT #(
  parameter WIDTH = 18,
  parameter LINE = 18,
  parameter REGMODE = "NOREG",
  parameter WRITEMODE = "NORMAL"
) (
  input clk, enable, write, output_enable,
  input [13:0] address,
  input [35:0] i,
  input [35:0] old,         // the line
  input [35:0] other_mask,  // bits of it that the other port is writing
  input [35:0] other_data,
  output [9:0] line,
  output [35:0] mask,       // bits of the line that this port writes, if it writes
  output [35:0] data,
  output [35:0] next,       // the line after both ports' writes
  output [35:0] o
);
  generate
    if (WIDTH != 1 && WIDTH != 2 && WIDTH != 4 && WIDTH != 9 && WIDTH != 18 && WIDTH != 36) begin
      $fatal(1, "DP16KD: width %0d is not modelled", WIDTH);
    end
    if (REGMODE != "NOREG" && REGMODE != "OUTREG") $fatal(1, "DP16KD: REGMODE %s is not modelled", REGMODE);
    if (WRITEMODE != "NORMAL" && WRITEMODE != "WRITETHROUGH" && !(WRITEMODE == "READBEFOREWRITE" && (WIDTH == 9 || WIDTH == 18))) begin
      $fatal(1, "DP16KD: WRITEMODE %s of %0d bits is not modelled", WRITEMODE, WIDTH);
    end
  endgenerate
  localparam [35:0] WORD = (37'h1 << WIDTH) - 1;
  wire [5:0] place = (LINE == 36 && WIDTH <= 18 && address[4] ? 6'd18 : 6'd0) + (WIDTH <= 9 && address[3] ? 6'd9 : 6'd0)
    + (WIDTH <= 4 && address[2] ? 6'd4 : 6'd0) + (WIDTH <= 2 && address[1] ? 6'd2 : 6'd0) + (WIDTH <= 1 && address[0] ? 6'd1 : 6'd0);
  wire [35:0] enables = {{9{WIDTH <= 18 || address[3]}}, {9{WIDTH <= 18 || address[2]}},
                         {9{WIDTH <= 9 || address[1]}}, {9{WIDTH <= 9 || address[0]}}} & WORD;
  assign line = LINE == 36 ? {1'b0, address[13:5]} : address[13:4];
  assign mask = enables << place;
  assign data = i << place;
  assign next = (old & ~(mask | other_mask)) | (data & mask) | (other_data & other_mask);

  reg [35:0] value = 0;
  wire [35:0] stored = (old ^ other_mask) >> place & WORD;
  always @(posedge clk) begin
    if (enable && (!write || WRITEMODE == "READBEFOREWRITE")) value <= stored;
    else if (enable && WRITEMODE == "WRITETHROUGH") value <= i & WORD;
    if (enable && write && WRITEMODE == "WRITETHROUGH" && enables != WORD) begin
      $display("%m: DP16KD: what WRITETHROUGH shows of a write of some bytes is not modelled");
      $stop;
    end
    if (enable && write && (mask & other_mask) != 0) begin
      $display("%m: DP16KD: both ports write one word in the same cycle");
      $stop;
    end
  end
  generate
    if (REGMODE == "OUTREG") begin
      reg [35:0] registered = 0;
      always @(posedge clk) if (output_enable) registered <= value;
      assign o = registered;
    end else begin
      assign o = value;
    end
  endgenerate
endmodule

// 512 words of 36 bits to write, words of DATA_WIDTH_R to read. It is a DP16KD: place and route makes one of it, in the same way.
// Of 36 bits read, DO[17:0] is the upper half of the word and DO[35:18] the lower; a narrower word comes out at DO[0] and up.
module PDPW16KD #(
  parameter DATA_WIDTH_W = 36, DATA_WIDTH_R = 36,
  parameter REGMODE = "NOREG",
  parameter CSDECODE_W = "0b000", CSDECODE_R = "0b000",
  parameter CLKWMUX = "CLKW", CLKRMUX = "CLKR",
  parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC", GSR = "ENABLED", INIT_DATA = "STATIC",
  parameter WID = 0,
  parameter [319:0] INITVAL_00 = 320'h0, INITVAL_01 = 320'h0, INITVAL_02 = 320'h0, INITVAL_03 = 320'h0,
  parameter [319:0] INITVAL_04 = 320'h0, INITVAL_05 = 320'h0, INITVAL_06 = 320'h0, INITVAL_07 = 320'h0,
  parameter [319:0] INITVAL_08 = 320'h0, INITVAL_09 = 320'h0, INITVAL_0A = 320'h0, INITVAL_0B = 320'h0,
  parameter [319:0] INITVAL_0C = 320'h0, INITVAL_0D = 320'h0, INITVAL_0E = 320'h0, INITVAL_0F = 320'h0,
  parameter [319:0] INITVAL_10 = 320'h0, INITVAL_11 = 320'h0, INITVAL_12 = 320'h0, INITVAL_13 = 320'h0,
  parameter [319:0] INITVAL_14 = 320'h0, INITVAL_15 = 320'h0, INITVAL_16 = 320'h0, INITVAL_17 = 320'h0,
  parameter [319:0] INITVAL_18 = 320'h0, INITVAL_19 = 320'h0, INITVAL_1A = 320'h0, INITVAL_1B = 320'h0,
  parameter [319:0] INITVAL_1C = 320'h0, INITVAL_1D = 320'h0, INITVAL_1E = 320'h0, INITVAL_1F = 320'h0,
  parameter [319:0] INITVAL_20 = 320'h0, INITVAL_21 = 320'h0, INITVAL_22 = 320'h0, INITVAL_23 = 320'h0,
  parameter [319:0] INITVAL_24 = 320'h0, INITVAL_25 = 320'h0, INITVAL_26 = 320'h0, INITVAL_27 = 320'h0,
  parameter [319:0] INITVAL_28 = 320'h0, INITVAL_29 = 320'h0, INITVAL_2A = 320'h0, INITVAL_2B = 320'h0,
  parameter [319:0] INITVAL_2C = 320'h0, INITVAL_2D = 320'h0, INITVAL_2E = 320'h0, INITVAL_2F = 320'h0,
  parameter [319:0] INITVAL_30 = 320'h0, INITVAL_31 = 320'h0, INITVAL_32 = 320'h0, INITVAL_33 = 320'h0,
  parameter [319:0] INITVAL_34 = 320'h0, INITVAL_35 = 320'h0, INITVAL_36 = 320'h0, INITVAL_37 = 320'h0,
  parameter [319:0] INITVAL_38 = 320'h0, INITVAL_39 = 320'h0, INITVAL_3A = 320'h0, INITVAL_3B = 320'h0,
  parameter [319:0] INITVAL_3C = 320'h0, INITVAL_3D = 320'h0, INITVAL_3E = 320'h0, INITVAL_3F = 320'h0
) (
  input DI0, DI1, DI2, DI3, DI4, DI5, DI6, DI7, DI8, DI9, DI10, DI11, DI12, DI13, DI14, DI15, DI16, DI17, DI18, DI19, DI20, DI21, DI22, DI23, DI24, DI25, DI26, DI27, DI28, DI29, DI30, DI31, DI32, DI33, DI34, DI35,
  input ADW0, ADW1, ADW2, ADW3, ADW4, ADW5, ADW6, ADW7, ADW8,
  input BE0, BE1, BE2, BE3, CEW, CLKW, CSW0, CSW1, CSW2,
  input ADR0, ADR1, ADR2, ADR3, ADR4, ADR5, ADR6, ADR7, ADR8, ADR9, ADR10, ADR11, ADR12, ADR13,
  input CER, OCER, CLKR, CSR0, CSR1, CSR2, RST,
  output DO0, DO1, DO2, DO3, DO4, DO5, DO6, DO7, DO8, DO9, DO10, DO11, DO12, DO13, DO14, DO15, DO16, DO17, DO18, DO19, DO20, DO21, DO22, DO23, DO24, DO25, DO26, DO27, DO28, DO29, DO30, DO31, DO32, DO33, DO34, DO35
);
  generate
    if (DATA_WIDTH_W != 36) $fatal(1, "PDPW16KD: DATA_WIDTH_W %0d is not modelled", DATA_WIDTH_W);
    if (CLKWMUX != "CLKW" || CLKRMUX != "CLKR") $fatal(1, "PDPW16KD: an inverted clock is not modelled");
  endgenerate
  DP16KD #(
    .DATA_WIDTH_A(36), .DATA_WIDTH_B(DATA_WIDTH_R), .REGMODE_A(REGMODE), .REGMODE_B(REGMODE),
    .CSDECODE_A(CSDECODE_W), .CSDECODE_B(CSDECODE_R), .INIT_DATA(INIT_DATA),
    .INITVAL_00(INITVAL_00), .INITVAL_01(INITVAL_01), .INITVAL_02(INITVAL_02), .INITVAL_03(INITVAL_03),
    .INITVAL_04(INITVAL_04), .INITVAL_05(INITVAL_05), .INITVAL_06(INITVAL_06), .INITVAL_07(INITVAL_07),
    .INITVAL_08(INITVAL_08), .INITVAL_09(INITVAL_09), .INITVAL_0A(INITVAL_0A), .INITVAL_0B(INITVAL_0B),
    .INITVAL_0C(INITVAL_0C), .INITVAL_0D(INITVAL_0D), .INITVAL_0E(INITVAL_0E), .INITVAL_0F(INITVAL_0F),
    .INITVAL_10(INITVAL_10), .INITVAL_11(INITVAL_11), .INITVAL_12(INITVAL_12), .INITVAL_13(INITVAL_13),
    .INITVAL_14(INITVAL_14), .INITVAL_15(INITVAL_15), .INITVAL_16(INITVAL_16), .INITVAL_17(INITVAL_17),
    .INITVAL_18(INITVAL_18), .INITVAL_19(INITVAL_19), .INITVAL_1A(INITVAL_1A), .INITVAL_1B(INITVAL_1B),
    .INITVAL_1C(INITVAL_1C), .INITVAL_1D(INITVAL_1D), .INITVAL_1E(INITVAL_1E), .INITVAL_1F(INITVAL_1F),
    .INITVAL_20(INITVAL_20), .INITVAL_21(INITVAL_21), .INITVAL_22(INITVAL_22), .INITVAL_23(INITVAL_23),
    .INITVAL_24(INITVAL_24), .INITVAL_25(INITVAL_25), .INITVAL_26(INITVAL_26), .INITVAL_27(INITVAL_27),
    .INITVAL_28(INITVAL_28), .INITVAL_29(INITVAL_29), .INITVAL_2A(INITVAL_2A), .INITVAL_2B(INITVAL_2B),
    .INITVAL_2C(INITVAL_2C), .INITVAL_2D(INITVAL_2D), .INITVAL_2E(INITVAL_2E), .INITVAL_2F(INITVAL_2F),
    .INITVAL_30(INITVAL_30), .INITVAL_31(INITVAL_31), .INITVAL_32(INITVAL_32), .INITVAL_33(INITVAL_33),
    .INITVAL_34(INITVAL_34), .INITVAL_35(INITVAL_35), .INITVAL_36(INITVAL_36), .INITVAL_37(INITVAL_37),
    .INITVAL_38(INITVAL_38), .INITVAL_39(INITVAL_39), .INITVAL_3A(INITVAL_3A), .INITVAL_3B(INITVAL_3B),
    .INITVAL_3C(INITVAL_3C), .INITVAL_3D(INITVAL_3D), .INITVAL_3E(INITVAL_3E), .INITVAL_3F(INITVAL_3F)
  ) ram (
    .DIA0(DI0), .DIA1(DI1), .DIA2(DI2), .DIA3(DI3), .DIA4(DI4), .DIA5(DI5), .DIA6(DI6), .DIA7(DI7), .DIA8(DI8),
    .DIA9(DI9), .DIA10(DI10), .DIA11(DI11), .DIA12(DI12), .DIA13(DI13), .DIA14(DI14), .DIA15(DI15), .DIA16(DI16), .DIA17(DI17),
    .DIB0(DI18), .DIB1(DI19), .DIB2(DI20), .DIB3(DI21), .DIB4(DI22), .DIB5(DI23), .DIB6(DI24), .DIB7(DI25), .DIB8(DI26),
    .DIB9(DI27), .DIB10(DI28), .DIB11(DI29), .DIB12(DI30), .DIB13(DI31), .DIB14(DI32), .DIB15(DI33), .DIB16(DI34), .DIB17(DI35),
    .ADA0(BE0), .ADA1(BE1), .ADA2(BE2), .ADA3(BE3), .ADA4(1'b0),
    .ADA5(ADW0), .ADA6(ADW1), .ADA7(ADW2), .ADA8(ADW3), .ADA9(ADW4), .ADA10(ADW5), .ADA11(ADW6), .ADA12(ADW7), .ADA13(ADW8),
    .WEA(1'b1), .CEA(CEW), .OCEA(OCER), .CLKA(CLKW), .CSA0(CSW0), .CSA1(CSW1), .CSA2(CSW2), .RSTA(RST),
    .ADB0(ADR0), .ADB1(ADR1), .ADB2(ADR2), .ADB3(ADR3), .ADB4(ADR4), .ADB5(ADR5), .ADB6(ADR6), .ADB7(ADR7), .ADB8(ADR8),
    .ADB9(ADR9), .ADB10(ADR10), .ADB11(ADR11), .ADB12(ADR12), .ADB13(ADR13),
    .WEB(1'b0), .CEB(CER), .OCEB(OCER), .CLKB(CLKR), .CSB0(CSR0), .CSB1(CSR1), .CSB2(CSR2), .RSTB(RST),
    .DOA0(DO18), .DOA1(DO19), .DOA2(DO20), .DOA3(DO21), .DOA4(DO22), .DOA5(DO23), .DOA6(DO24), .DOA7(DO25), .DOA8(DO26),
    .DOA9(DO27), .DOA10(DO28), .DOA11(DO29), .DOA12(DO30), .DOA13(DO31), .DOA14(DO32), .DOA15(DO33), .DOA16(DO34), .DOA17(DO35),
    .DOB0(DO0), .DOB1(DO1), .DOB2(DO2), .DOB3(DO3), .DOB4(DO4), .DOB5(DO5), .DOB6(DO6), .DOB7(DO7), .DOB8(DO8),
    .DOB9(DO9), .DOB10(DO10), .DOB11(DO11), .DOB12(DO12), .DOB13(DO13), .DOB14(DO14), .DOB15(DO15), .DOB16(DO16), .DOB17(DO17)
  );
endmodule
