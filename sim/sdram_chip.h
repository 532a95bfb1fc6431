// A strict model of an SDR SDRAM, to be stepped once per rising clock edge.
//
// Every rule of the data sheet a controller can break is checked, and the first one broken ends the model's life: from
// then on `violated` is set and `message` names the cycle, the command and the rule. sdram_chip.py is the same model in
// Python, message for message; change both or neither.

#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

// The part and its clock. Times in picoseconds become cycles here, apart from the controller's own conversion;
// what the data sheet states in cycles is beside them, and the longer one counts.
struct SdramParameters {
    uint32_t row_bits;
    uint32_t column_bits;
    uint32_t bank_bits;
    uint32_t cas_latency;
    uint64_t period_ps;
    uint64_t t_rcd_ps;
    uint64_t t_rp_ps;
    uint64_t t_ras_ps;
    uint64_t t_ras_max_ps;
    uint64_t t_rc_ps;
    uint64_t t_rfc_ps;
    uint64_t t_rrd_ps;
    uint64_t t_wr_ps;
    uint64_t t_mrd_ps;
    uint64_t t_rrd_cycles;
    uint64_t t_wr_cycles;
    uint64_t t_mrd_cycles;
    uint64_t t_refi_ps;           // average interval of REFRESH
    uint64_t max_postponed;       // REFRESH commands that may be due at once
    uint64_t power_up_cycles;     // before the first command
    uint64_t power_up_refreshes;  // before MODE REGISTER SET
};

// The pins as sampled at a rising edge. `a` carries A10 in bit 10; `dq` counts only while `dq_oe`.
struct SdramPins {
    bool cke;
    bool cs_n;
    bool ras_n;
    bool cas_n;
    bool we_n;
    bool dq_oe;
    uint8_t ba;
    uint8_t dqm;
    uint16_t a;
    uint32_t dq;
};

// `Word` is uint16_t or uint32_t, as wide as the part's data bus.
template <typename Word>
class BasicSdramChip {
public:
    bool violated = false;
    std::string message;

    explicit BasicSdramChip(const SdramParameters& p)
        : p_(p),
          rcd_(cycles(p.t_rcd_ps, 1)),
          rp_(cycles(p.t_rp_ps, 1)),
          ras_(cycles(p.t_ras_ps, 1)),
          ras_max_(static_cast<int64_t>(p.t_ras_max_ps / p.period_ps)),
          rc_(cycles(p.t_rc_ps, 1)),
          rfc_(cycles(p.t_rfc_ps, 1)),
          rrd_(cycles(p.t_rrd_ps, p.t_rrd_cycles)),
          wr_(cycles(p.t_wr_ps, p.t_wr_cycles)),
          mrd_(cycles(p.t_mrd_ps, p.t_mrd_cycles)),
          banks_(size_t{1} << p.bank_bits),
          memory_(size_t{1} << (p.row_bits + p.bank_bits + p.column_bits)) {}

    // The words in order of row, bank, column: to load and to look at from outside.
    Word* memory() { return memory_.data(); }
    size_t words() const { return memory_.size(); }

    // What the chip drives from this edge on, to be sampled at the next one; bytes nobody drives read as ones.
    Word dq() const { return dq_; }
    bool drives() const { return drives_; }

    // One rising edge; `cycle` counts up by one from call to call. Returns whether all is well.
    bool posedge(uint64_t cycle, const SdramPins& pins) {
        if (violated) return false;
        now_ = static_cast<int64_t>(cycle);
        if (start_ < 0) start_ = now_;
        check_bus(pins);
        if (!pins.cke && commanded_) return fail("CKE low", "clock suspend and power-down are not modelled");
        if (mode_set_ && now_ >= next_due_) tick();
        if (!pins.cs_n && !(pins.ras_n & pins.cas_n & pins.we_n)) {
            // READ and WRITE come every cycle: anything wrong with one is found out in the slow path.
            if (!(pins.ras_n & !pins.cas_n && now_ >= quiet_until_ && column(pins, !pins.we_n))) command(pins);
        }
        if (pins.dqm != 0) bus_[(now_ + 2) & 3].lanes &= static_cast<uint8_t>(~pins.dqm);
        const Slot& next = bus_[(now_ + 1) & 3];
        drives_ = next.lanes != 0;
        dq_ = drives_ ? static_cast<Word>(next.data | ~mask(next.lanes)) : static_cast<Word>(~Word{0});
        return !violated;
    }

private:
    static constexpr int64_t never = -(int64_t{1} << 40);
    static constexpr uint8_t all_lanes = (1 << sizeof(Word)) - 1;

    struct Bank {
        bool open = false;
        uint32_t row = 0;
        int64_t opened = never;
        int64_t closed = never;
        int64_t written = never;
    };
    struct Slot {
        Word data = 0;
        uint8_t lanes = 0;
    };

    SdramParameters p_;
    int64_t rcd_, rp_, ras_, ras_max_, rc_, rfc_, rrd_, wr_, mrd_;
    std::vector<Bank> banks_;
    std::vector<Word> memory_;
    std::array<Slot, 4> bus_{};  // what the chip drives, by the cycle in which it is sampled, modulo 4
    bool drove_ = false;
    bool drives_ = false;
    Word dq_ = static_cast<Word>(~Word{0});
    int64_t now_ = 0;
    int64_t start_ = -1;
    bool commanded_ = false;
    bool precharged_ = false;
    uint64_t refreshes_ = 0;
    bool mode_set_ = false;
    int64_t mode_at_ = never;
    int64_t refreshing_since_ = 0;
    int64_t refreshed_ = never;
    int64_t quiet_until_ = INT64_MAX;  // no command may come before, or none yet
    int64_t activated_ = never;
    uint64_t due_ = 0;
    uint64_t ticks_ = 0;
    int64_t next_due_ = 0;

    int64_t cycles(uint64_t ps, uint64_t least) const {
        return static_cast<int64_t>(std::max((ps + p_.period_ps - 1) / p_.period_ps, least));
    }

    static Word mask(uint8_t lanes) {
        if (lanes == all_lanes) return static_cast<Word>(~Word{0});
        if (lanes == 0) return 0;
        Word bits = 0;
        for (size_t lane = 0; lane < sizeof(Word); lane++)
            if (lanes >> lane & 1) bits |= static_cast<Word>(Word{0xff} << 8 * lane);
        return bits;
    }

    [[gnu::cold]] bool fail(const std::string& what, const std::string& rule) {
        if (!violated) message = "cycle " + std::to_string(now_) + ": " + what + ": " + rule;
        violated = true;
        return false;
    }

    // Whether `needed` cycles have passed since `since`.
    template <typename Name>  // a string or what would become one for nothing
    bool passed(const Name& what, const char* rule, int64_t since, int64_t needed) {
        if (now_ - since >= needed) return true;
        return fail(what, std::string(rule) + " is " + std::to_string(needed) + " cycles, not " +
                              std::to_string(now_ - since));
    }

    // Nobody else may drive a cycle that the chip drives, nor the one after it, in which the chip lets go.
    void check_bus(const SdramPins& pins) {
        Slot& now = bus_[now_ & 3];
        const bool driving = now.lanes != 0;
        if (pins.dq_oe && (driving || drove_)) fail("dq", "driven while the chip drives it or lets go");
        drove_ = driving;
        now.lanes = 0;
    }

    [[gnu::noinline]] void tick() {
        ticks_++;
        due_++;
        next_due_ = refreshing_since_ + cycles((ticks_ + 1) * p_.t_refi_ps, 1);
        if (due_ > p_.max_postponed) fail("refresh", std::to_string(due_) + " are due");
    }

    [[gnu::noinline]] void command(const SdramPins& pins) {
        if (violated) return;
        static const char* const names[8] = {"MODE REGISTER SET", "REFRESH", "PRECHARGE", "ACTIVATE",
                                             "WRITE",             "READ",    "TERMINATE", "NOP"};
        const unsigned code = (pins.ras_n << 2) | (pins.cas_n << 1) | static_cast<unsigned>(pins.we_n);
        if (now_ - start_ < static_cast<int64_t>(p_.power_up_cycles)) {
            passed(names[code], "the wait after power-up", start_, static_cast<int64_t>(p_.power_up_cycles));
            return;
        }
        commanded_ = true;
        if (!passed(names[code], "tRFC", refreshed_, rfc_)) return;
        if (!passed(names[code], "tMRD", mode_at_, mrd_)) return;
        switch (code) {
            case 0: return set_mode(pins);
            case 1: return refresh();
            case 2: return precharge(pins);
            case 3: return activate(pins);
            case 4: return column_fails(pins, "WRITE");
            case 5: return column_fails(pins, "READ");
            default: fail(names[code], "not modelled");
        }
    }

    static std::string at(const char* name, unsigned bank) { return std::string(name) + " bank " + std::to_string(bank); }

    // Whether all banks are closed and have been for tRP.
    bool closed(const char* name) {
        for (size_t bank = 0; bank < banks_.size(); bank++) {
            if (banks_[bank].open) return fail(name, "bank " + std::to_string(bank) + " is open");
            if (!passed(name, "tRP", banks_[bank].closed, rp_)) return false;
        }
        return true;
    }

    void set_mode(const SdramPins& pins) {
        const char* name = "MODE REGISTER SET";
        if (refreshes_ < p_.power_up_refreshes) {
            fail(name, "initialisation: after " + std::to_string(p_.power_up_refreshes) + " REFRESH, not " +
                           std::to_string(refreshes_));
            return;
        }
        if (!closed(name)) return;
        if (pins.ba != 0 || (pins.a & ~0x200u) != p_.cas_latency << 4) {
            char text[96];
            std::snprintf(text, sizeof text, "mode 0x%04x is not burst length 1, sequential, CAS latency %u", pins.a,
                          p_.cas_latency);
            fail(name, text);
            return;
        }
        mode_at_ = now_;
        quiet_until_ = now_ + mrd_;
        if (mode_set_) return;
        mode_set_ = true;
        refreshing_since_ = now_;
        next_due_ = now_ + cycles(p_.t_refi_ps, 1);
    }

    void refresh() {
        if (!precharged_) {
            fail("REFRESH", "initialisation: after PRECHARGE of all banks");
            return;
        }
        if (!closed("REFRESH")) return;
        refreshed_ = now_;
        if (mode_set_) quiet_until_ = now_ + rfc_;
        refreshes_++;
        if (due_ > 0) due_--;  // refreshing ahead of time earns nothing
    }

    void precharge(const SdramPins& pins) {
        const bool all = pins.a >> 10 & 1;
        for (unsigned bank = 0; bank < banks_.size(); bank++) {
            Bank& it = banks_[bank];
            if (!all && bank != pins.ba) continue;
            if (it.open) {
                const std::string name = at("PRECHARGE", bank);
                if (!passed(name, "tRAS", it.opened, ras_) || !passed(name, "tWR", it.written, wr_)) return;
                if (!not_forgotten(name, it)) return;
            }
            if (it.open || !precharged_) it.closed = now_;
            it.open = false;
        }
        precharged_ = precharged_ || all;
    }

    void activate(const SdramPins& pins) {
        const std::string name = at("ACTIVATE", pins.ba);
        Bank& it = banks_[pins.ba];
        if (!mode_set_) {
            fail(name, "initialisation: after MODE REGISTER SET");
            return;
        }
        if (it.open) {
            fail(name, "the bank is open");
            return;
        }
        if (!passed(name, "tRP", it.closed, rp_) || !passed(name, "tRC", it.opened, rc_) ||
            !passed(name, "tRRD", activated_, rrd_))
            return;
        it.open = true;
        it.row = pins.a & ((1u << p_.row_bits) - 1);
        it.opened = activated_ = now_;
    }

    bool not_forgotten(const std::string& name, const Bank& it) {
        if (now_ - it.opened <= ras_max_) return true;
        return fail(name, "tRAS is at most " + std::to_string(ras_max_) + " cycles, not " +
                              std::to_string(now_ - it.opened));
    }

    // A READ or WRITE, if no rule forbids it.
    bool column(const SdramPins& pins, bool write) {
        Bank& it = banks_[pins.ba];
        const int64_t open_for = now_ - it.opened;
        if (!it.open || open_for < rcd_ || open_for > ras_max_ || pins.a >> p_.column_bits || (write && !pins.dq_oe))
            return false;
        Word& word = memory_[((it.row << p_.bank_bits | pins.ba) << p_.column_bits) | pins.a];
        if (write) {
            const Word kept = mask(pins.dqm);
            word = static_cast<Word>((word & kept) | (static_cast<Word>(pins.dq) & ~kept));
            it.written = now_;
        } else {
            bus_[(now_ + p_.cas_latency) & 3] = {word, all_lanes};
        }
        return true;
    }

    // Which rule forbade it.
    [[gnu::cold]] void column_fails(const SdramPins& pins, const char* command) {
        const Bank& it = banks_[pins.ba];
        const std::string name = at(command, pins.ba);
        if (!it.open) {
            fail(name, "the bank is closed");
        } else if (passed(name, "tRCD", it.opened, rcd_) && not_forgotten(name, it)) {
            if (pins.a >> p_.column_bits)
                fail(name, pins.a >> 10 & 1 ? "auto precharge is not modelled" : "no such column");
            else
                fail(name, "nobody drives dq");
        }
    }
};

using SdramChip = BasicSdramChip<uint16_t>;
using SdramChip32 = BasicSdramChip<uint32_t>;
