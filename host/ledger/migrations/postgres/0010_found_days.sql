-- Days are compared from yesterday on, which summaries of page ranges find, since rows come day by day. A tree of days alone
-- was the smaller one while a ledger was young, and a planner looked for a campaign among all rows of its day.
DROP INDEX campaign_daily_spend_day;
CREATE INDEX campaign_daily_spend_day ON campaign_daily_spend
  USING brin (day) WITH (pages_per_range = 32, autosummarize = on);
