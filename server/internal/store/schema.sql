-- Schema 1. Times are Unix seconds, NULL or 0 where something never happened; sizes are bytes.

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Every package ID that was ever given out: one is never used twice, whatever became of its package.
CREATE TABLE package_ids (
    id INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE packages (
    id            INTEGER PRIMARY KEY REFERENCES package_ids,
    name          TEXT NOT NULL,
    os            TEXT NOT NULL,
    priority      INTEGER NOT NULL,
    action        TEXT NOT NULL,
    target        TEXT NOT NULL,
    protocol      TEXT NOT NULL,
    archive_size  INTEGER NOT NULL, -- 0: no archive
    fragment_size INTEGER NOT NULL,
    fragments     INTEGER NOT NULL,
    success_codes TEXT NOT NULL,
    info_digest   TEXT NOT NULL,
    built         INTEGER NOT NULL
) STRICT;

CREATE TABLE activations (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    package       INTEGER NOT NULL REFERENCES packages ON DELETE CASCADE,
    info_url      TEXT NOT NULL, -- host[:port]/folder, as agents are told it
    fragments_url TEXT NOT NULL,
    site          TEXT NOT NULL, -- '': for computers of any site
    forced        INTEGER NOT NULL, -- 1: it was not reachable when it was made
    created       INTEGER NOT NULL
) STRICT;
CREATE INDEX activations_by_package ON activations (package);

CREATE TABLE computers (
    id           INTEGER PRIMARY KEY,
    device       TEXT NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    os           TEXT NOT NULL,
    family       TEXT NOT NULL, -- windows, linux or ''
    agent        TEXT NOT NULL,
    site         TEXT NOT NULL,
    tag          TEXT NOT NULL,
    tag_owner    INTEGER NOT NULL, -- 0: the agent's own, 1: set here and to be sent, 2: set here and sent
    user         TEXT NOT NULL,
    serial       TEXT NOT NULL,
    uuid         TEXT NOT NULL,
    manufacturer TEXT NOT NULL,
    model        TEXT NOT NULL,
    memory       INTEGER NOT NULL,
    disk         INTEGER NOT NULL,
    agent_key    TEXT NOT NULL,    -- ID of the enrolled agent's key; '' for a stock agent
    enrolled     INTEGER NOT NULL,
    certified    INTEGER NOT NULL, -- until when its newest certificate is valid
    revoked      INTEGER NOT NULL,
    first_seen   INTEGER NOT NULL,
    last_contact INTEGER NOT NULL,
    inventoried  INTEGER NOT NULL
) STRICT;

CREATE TABLE computer_settings (
    computer INTEGER NOT NULL REFERENCES computers ON DELETE CASCADE,
    name     TEXT NOT NULL,
    value    INTEGER NOT NULL,
    PRIMARY KEY (computer, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE addresses (
    computer INTEGER NOT NULL REFERENCES computers ON DELETE CASCADE,
    ip       TEXT NOT NULL, -- '' for an adapter without
    mac      TEXT NOT NULL,
    PRIMARY KEY (computer, ip, mac)
) STRICT, WITHOUT ROWID;
CREATE INDEX addresses_by_mac ON addresses (mac);

-- A program is stored once, however many computers have it.
CREATE TABLE programs (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL,
    version TEXT NOT NULL,
    UNIQUE (name, version)
) STRICT;

CREATE TABLE installed (
    computer INTEGER NOT NULL REFERENCES computers ON DELETE CASCADE,
    program  INTEGER NOT NULL REFERENCES programs,
    PRIMARY KEY (computer, program)
) STRICT, WITHOUT ROWID;
CREATE INDEX installed_by_program ON installed (program);

-- What a computer itself says it has installed.
CREATE TABLE history (
    computer INTEGER NOT NULL REFERENCES computers ON DELETE CASCADE,
    package  INTEGER NOT NULL,
    PRIMARY KEY (computer, package)
) STRICT, WITHOUT ROWID;

CREATE TABLE affectations (
    computer   INTEGER NOT NULL REFERENCES computers ON DELETE CASCADE,
    package    INTEGER NOT NULL REFERENCES packages ON DELETE CASCADE,
    activation INTEGER REFERENCES activations ON DELETE SET NULL, -- NULL: a finished row of a deactivated package
    state      TEXT NOT NULL,
    text       TEXT NOT NULL,
    exit       TEXT NOT NULL,
    detail     TEXT NOT NULL,
    output     TEXT NOT NULL,
    force      INTEGER NOT NULL,
    offered    INTEGER NOT NULL, -- contacts that listed the package since it was affected
    affected   INTEGER NOT NULL,
    notified   INTEGER NOT NULL,
    ended      INTEGER NOT NULL,
    PRIMARY KEY (computer, package)
) STRICT, WITHOUT ROWID;
CREATE INDEX affectations_by_package ON affectations (package, state);
CREATE INDEX affectations_by_activation ON affectations (activation);

-- Every result that was acknowledged, apart from affectations, which can be cleared.
CREATE TABLE results (
    id       INTEGER PRIMARY KEY,
    computer INTEGER NOT NULL REFERENCES computers ON DELETE CASCADE,
    package  INTEGER NOT NULL,
    text     TEXT NOT NULL,
    exit     TEXT NOT NULL,
    detail   TEXT NOT NULL,
    output   TEXT NOT NULL,
    received INTEGER NOT NULL, -- the first time
    repeated INTEGER NOT NULL  -- how often the same text came again in a row
) STRICT;
CREATE INDEX results_by_computer ON results (computer, package);

-- Enrolment tokens, of which only the hash is kept.
CREATE TABLE tokens (
    hash    TEXT PRIMARY KEY,
    site    TEXT NOT NULL,
    uses    INTEGER NOT NULL, -- that are left
    expires INTEGER NOT NULL,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Which keys a token has enrolled: an agent whose answer got lost may ask again.
CREATE TABLE token_keys (
    hash TEXT NOT NULL REFERENCES tokens ON DELETE CASCADE,
    key  TEXT NOT NULL,
    PRIMARY KEY (hash, key)
) STRICT, WITHOUT ROWID;
