// Who is told what: one message to Slack for everything, and one by e-mail for what cannot wait.
//
// wit/rules.wit explains every field; here its names are in camelCase, and 64-bit numbers are BigInt. Money is whole
// micros, a ratio is whole parts per million. There is no clock, no network, no file and no randomness.

const PPM_PER_PERCENT = 10_000;
const MICROS_PER_UNIT = 1_000_000n;

// What operators may set without a new module, in the order in which `compose` gets the values.
const PARAMS = [
  text("slack", "default", "Slack route of every message; empty: none."),
  text("email", "", "E-mail route of what is critical; empty: none."),
];

function text(name, value, help) {
  return { name, kind: "text", many: false, default: { tag: "text", val: value }, highest: 64n, help };
}

function severity(happening) {
  const crossing = ["warning", "paused", "resumed"].includes(happening.kind);
  // A crossing of a day that is over; nothing is paused by it.
  if (crossing && !happening.today) return "info";
  if (happening.kind === "resumed") return "info";
  return ["warning", "dead-letters", "duplicate-rate"].includes(happening.kind) ? "warning" : "critical";
}

function title(happening) {
  const campaign = happening.campaign.slice(0, 100);
  switch (happening.kind) {
    case "warning":
      return `${campaign} has used ${Math.floor(happening.usagePpm / PPM_PER_PERCENT)} % of its budget`;
    case "paused":
      return `${campaign} is paused: its budget is used up`;
    case "resumed":
      return `${campaign} runs again`;
    default:
      return `tollgate: ${happening.kind} (${happening.count})`;
  }
}

function body(happening) {
  const { spentMicros, budgetMicros, day, detail } = happening;
  if (spentMicros < 0n || budgetMicros < 0n) return detail;
  return `Spent ${spentMicros / MICROS_PER_UNIT} of ${budgetMicros / MICROS_PER_UNIT} on ${day}. ${detail}`;
}

export const notification = {
  // An interpreter uses far more fuel than Rust: for one call, and for each happening.
  describe() {
    return {
      name: "{{name}}",
      version: "0.1.0",
      needs: {},
      params: PARAMS,
      reasons: [],
      fuelBase: 20_000_000n,
      fuelPerItem: 2_000_000n,
    };
  },

  // Any number of messages, none for silence.
  compose(params, happenings) {
    const [slack, email] = params.map((value) => value.val);
    return happenings.flatMap((happening, at) => {
      const level = severity(happening);
      const routes = [["slack", slack]];
      if (level === "critical") routes.push(["email", email]);
      return routes
        .filter(([, route]) => route !== "")
        .map(([channel, route]) => ({
          happening: at,
          channel,
          route,
          severity: level,
          title: title(happening),
          body: body(happening).slice(0, 2_000),
          delayMinutes: 0,
        }));
    });
  },
};
