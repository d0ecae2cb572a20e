-- Here a key of campaign and day is always preferred to the day alone, so both indexes stay as they are.
SELECT 1;
