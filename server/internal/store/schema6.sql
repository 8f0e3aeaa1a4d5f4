-- Schema 6: what of packages went between the members of a site.

-- What each computer said last, to add to its site only what is new.
CREATE TABLE shared_told (
    computer INTEGER NOT NULL REFERENCES computers ON DELETE CASCADE,
    package  INTEGER NOT NULL REFERENCES packages ON DELETE CASCADE,
    bytes    INTEGER NOT NULL, -- that it got from members, in all
    PRIMARY KEY (computer, package)
) STRICT, WITHOUT ROWID;
CREATE INDEX shared_told_by_package ON shared_told (package);

-- The sums outlast affectations, computers and moves, as the ledgers of what the origin sent do.
CREATE TABLE shared (
    site    TEXT NOT NULL REFERENCES sites ON DELETE CASCADE,
    package INTEGER NOT NULL REFERENCES packages ON DELETE CASCADE,
    bytes   INTEGER NOT NULL,
    PRIMARY KEY (site, package)
) STRICT, WITHOUT ROWID;
