-- Schema 10: where members of the other family reach a computer that has IPv4 and IPv6, beside listen.

ALTER TABLE computers ADD COLUMN also TEXT NOT NULL DEFAULT '';
