-- Schema 9: the last message of a computer that was refused, until one of the same kind is taken.

CREATE TABLE refusals (
    computer INTEGER PRIMARY KEY REFERENCES computers ON DELETE CASCADE,
    query    TEXT NOT NULL,    -- what the message was, as far as that could be read
    reason   TEXT NOT NULL,
    refused  INTEGER NOT NULL
) STRICT;
