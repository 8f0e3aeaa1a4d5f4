-- Schema 8: whose tickets are void before their time is over, and where computers were lately, since a ticket counts there
-- after its computer has gone elsewhere. Keys are those of agents, as in computers.

CREATE TABLE void_tickets (
    site  TEXT NOT NULL REFERENCES sites ON DELETE CASCADE,
    key   TEXT NOT NULL,
    epoch INTEGER NOT NULL,                   -- of the site: tickets of lower ones are void
    since INTEGER NOT NULL,                   -- no ticket of before is younger
    PRIMARY KEY (site, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX void_tickets_by_epoch ON void_tickets (site, epoch DESC, key);
CREATE INDEX void_tickets_by_key ON void_tickets (key);

CREATE TABLE former_sites (
    key  TEXT NOT NULL,
    site TEXT NOT NULL REFERENCES sites ON DELETE CASCADE,
    until INTEGER NOT NULL,                   -- it was judged to be there
    PRIMARY KEY (key, site)
) STRICT, WITHOUT ROWID;
