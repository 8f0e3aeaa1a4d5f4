-- Schema 5: sites are things of their own, and where an enrolled computer is is judged at its contacts.

CREATE TABLE sites (
    name     TEXT PRIMARY KEY,
    timezone TEXT NOT NULL DEFAULT 'UTC',
    rate     TEXT NOT NULL DEFAULT '',        -- as wanrate.Schedule writes it; '': unlimited
    fetchers INTEGER NOT NULL DEFAULT 4,
    pace     TEXT NOT NULL DEFAULT 'latency',
    swarm    INTEGER NOT NULL DEFAULT 1,
    epoch    INTEGER NOT NULL DEFAULT 1       -- raised by every change that concerns the site's computers
) STRICT, WITHOUT ROWID;

CREATE TABLE site_networks (
    network TEXT PRIMARY KEY,                 -- in CIDR form
    site    TEXT NOT NULL REFERENCES sites ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Keys that encrypt a site's gossip. One is in force, and those it replaced go after a day.
CREATE TABLE site_keys (
    site     TEXT NOT NULL REFERENCES sites ON DELETE CASCADE,
    epoch    INTEGER NOT NULL,                -- counts from 1
    key      BLOB NOT NULL,
    made     INTEGER NOT NULL,
    replaced INTEGER NOT NULL,                -- 0: in force
    PRIMARY KEY (site, epoch)
) STRICT, WITHOUT ROWID;

-- Counts the changes of what programs keep in memory of sites: all of the above but epochs.
CREATE TABLE site_version (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO site_version VALUES (1, 1);
CREATE TRIGGER sites_added AFTER INSERT ON sites
    BEGIN UPDATE site_version SET version = version + 1; END;
CREATE TRIGGER sites_changed AFTER UPDATE OF name, timezone, rate, fetchers, pace, swarm ON sites
    BEGIN UPDATE site_version SET version = version + 1; END;
CREATE TRIGGER sites_deleted AFTER DELETE ON sites
    BEGIN UPDATE site_version SET version = version + 1; END;
CREATE TRIGGER site_networks_added AFTER INSERT ON site_networks
    BEGIN UPDATE site_version SET version = version + 1; END;
CREATE TRIGGER site_networks_changed AFTER UPDATE ON site_networks
    BEGIN UPDATE site_version SET version = version + 1; END;
CREATE TRIGGER site_networks_deleted AFTER DELETE ON site_networks
    BEGIN UPDATE site_version SET version = version + 1; END;
CREATE TRIGGER site_keys_added AFTER INSERT ON site_keys
    BEGIN UPDATE site_version SET version = version + 1; END;
CREATE TRIGGER site_keys_changed AFTER UPDATE ON site_keys
    BEGIN UPDATE site_version SET version = version + 1; END;
CREATE TRIGGER site_keys_deleted AFTER DELETE ON site_keys
    BEGIN UPDATE site_version SET version = version + 1; END;

-- Column site stays what was set by hand, or the token's; where the computer was judged to be is another.
ALTER TABLE computers ADD COLUMN site_by_token INTEGER NOT NULL DEFAULT 0;  -- 1: column site is the token's
ALTER TABLE computers ADD COLUMN judged_site TEXT NOT NULL DEFAULT '';
ALTER TABLE computers ADD COLUMN judged_by TEXT NOT NULL DEFAULT '';        -- hand, token, a network, or '' at no site

-- What an enrolled agent says of itself as a member of its site's swarm.
ALTER TABLE computers ADD COLUMN listen TEXT NOT NULL DEFAULT '';           -- address and port; '': it is none
ALTER TABLE computers ADD COLUMN weight INTEGER NOT NULL DEFAULT 0;
ALTER TABLE computers ADD COLUMN peer TEXT NOT NULL DEFAULT '';             -- peer ID of its key
ALTER TABLE computers ADD COLUMN listen_until INTEGER NOT NULL DEFAULT 0;   -- when it should have called again
ALTER TABLE computers ADD COLUMN listen_order INTEGER NOT NULL DEFAULT 0;   -- random, another at each contact
CREATE INDEX members ON computers (judged_site, listen_order) WHERE listen <> '';

-- Sites in use.
INSERT INTO sites (name)
    SELECT site FROM computers WHERE site <> '' UNION SELECT site FROM tokens WHERE site <> ''
    UNION SELECT site FROM activations WHERE site <> '';
UPDATE computers SET site_by_token = 1 WHERE site <> '' AND agent_key <> '' AND (agent_key, site) IN
    (SELECT token_keys.key, tokens.site FROM token_keys JOIN tokens USING (hash));
UPDATE computers SET judged_site = site, judged_by = iif(site_by_token, 'token', 'hand') WHERE site <> '';
