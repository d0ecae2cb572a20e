// When a campaign is warned about, paused and resumed: by the spend of its day in the ledger.
//
// wit/rules.wit explains every field; here its names are in camelCase, and 64-bit numbers are BigInt. Money is whole
// micros, a ratio is whole parts per million (ppm). Tables are columns: typed arrays of equal length. There is no
// clock, no network, no file and no randomness.

const PPM = 1_000_000n;
const GREATEST_PPM = 0xffff_ffff;

const SPEND = 1;
const NO_BUDGET = 2;

const KEEP = 0;
const WARN = 1;
const PAUSE = 2;
const RESUME = 3;

// Bits of a day's state.
const PAUSED_BY_BUDGET = 1;
const PAUSED_BY_PERSON = 2;
const TODAY = 4;
const PAUSED_BEFORE = 8;
const OF_CAMPAIGN = PAUSED_BY_BUDGET | PAUSED_BY_PERSON;

// What operators may set without a new module, in the order in which `judge` gets the values.
const PARAMS = [
  ratio("warn_at", { tag: "numbers", val: BigInt64Array.of(800_000n, 950_000n) }, "Shares of the daily budget at which a warning is sent."),
  ratio("pause_at", { tag: "number", val: PPM }, "Share of the daily budget at which the campaign is paused."),
];

function ratio(name, value, help) {
  const many = value.tag === "numbers";
  return { name, kind: "ratio-ppm", many, default: value, lowest: 1n, highest: 10n * PPM, help };
}

function reason(code, name, help) {
  return { code, name, source: "none", help };
}

// `part` of `whole` in ppm, rounded down.
function ratioPpm(part, whole) {
  if (part <= 0n) return 0;
  if (whole <= 0n) return GREATEST_PPM;
  const ppm = (part * PPM) / whole;
  return ppm > GREATEST_PPM ? GREATEST_PPM : Number(ppm);
}

// One movement, given the day as it is before it: what the host keeps while the movements of a batch pass by.
function verdict(day, amount, warnAt, pauseAt) {
  const usage = day.budget < 0n ? 0 : ratioPpm(day.spent + amount, day.budget);
  const is = (bit) => (day.state & bit) !== 0;
  const answer = (action, level, reason) => ({ action, level, usage, reason });
  if (day.budget < 0n) {
    return answer(is(PAUSED_BY_BUDGET) && is(TODAY) ? RESUME : KEEP, 0, NO_BUDGET);
  }
  if (usage >= pauseAt) return answer(PAUSE, pauseAt, SPEND);
  if (is(PAUSED_BY_BUDGET)) {
    // A new day or a new budget lets the campaign run again; a refund does not.
    const resumes = is(TODAY) && !is(PAUSED_BEFORE);
    return resumes ? answer(RESUME, pauseAt, SPEND) : answer(KEEP, 0, SPEND);
  }
  const level = warnAt.findLast((level) => usage >= level);
  return level > day.warned ? answer(WARN, level, SPEND) : answer(KEEP, 0, SPEND);
}

// What a verdict makes of the day, as in the host.
function after(day, amount, { action, level }) {
  day.spent += amount;
  if (action === WARN && level > day.warned) day.warned = level;
  if (action === PAUSE && (day.state & PAUSED_BEFORE) === 0 && day.spent >= day.pauseFrom) {
    day.state |= PAUSED_BY_BUDGET | PAUSED_BEFORE;
  }
  if (action === RESUME && (day.state & TODAY) !== 0) {
    day.state &= ~(PAUSED_BY_BUDGET | PAUSED_BEFORE);
  }
}

export const threshold = {
  // An interpreter uses far more fuel than Rust: for one call, and for each movement.
  describe() {
    return {
      name: "{{name}}",
      version: "0.1.0",
      needs: {},
      params: PARAMS,
      reasons: [
        reason(SPEND, "SPEND", "Decided by the day's spend in the ledger."),
        reason(NO_BUDGET, "NO_BUDGET", "The campaign has no daily budget."),
      ],
      fuelBase: 20_000_000n,
      fuelPerItem: 2_000_000n,
    };
  },

  // One verdict for each movement, in order. A pause on one day of a campaign is one on all of its days.
  judge(params, texts, campaigns, table, movements) {
    const [warnAt, pauseAt] = [Array.from(params[0].val, Number), Number(params[1].val)];
    const status = new Map();
    const days = Array.from(table.campaign, (campaign, row) => {
      status.set(campaign, (status.get(campaign) ?? 0) | (table.state[row] & OF_CAMPAIGN));
      return {
        campaign,
        budget: table.dailyBudgetMicros[row],
        spent: table.spentMicros[row],
        warned: table.warnedPpm[row],
        pauseFrom: table.pauseFromMicros[row],
        state: table.state[row],
      };
    });
    const rows = movements.amountMicros.length;
    const answers = {
      action: new Uint8Array(rows),
      levelPpm: new Uint32Array(rows),
      usagePpm: new Uint32Array(rows),
      allowedMicros: BigInt64Array.from(movements.amountMicros),
      reason: new Uint16Array(rows),
    };
    movements.amountMicros.forEach((amount, row) => {
      const day = days[movements.campaignDay[row]];
      day.state = (day.state & ~OF_CAMPAIGN) | status.get(day.campaign);
      const found = verdict(day, amount, warnAt, pauseAt);
      after(day, amount, found);
      status.set(day.campaign, day.state & OF_CAMPAIGN);
      answers.action[row] = found.action;
      answers.levelPpm[row] = found.level;
      answers.usagePpm[row] = found.usage;
      answers.reason[row] = found.reason;
    });
    return answers;
  },
};
