-- Schema 2: how far packages are on computers that tell.

-- For display only; a row goes with its affectation, or when that is no longer NOTIFIED.
CREATE TABLE progress (
    computer INTEGER NOT NULL,
    package  INTEGER NOT NULL,
    phase    TEXT NOT NULL,
    have     INTEGER NOT NULL, -- fragments, verified
    whole    INTEGER NOT NULL, -- fragments of the package
    problem  TEXT NOT NULL,    -- the last one, in the agent's words; '': none
    heard    INTEGER NOT NULL,
    PRIMARY KEY (computer, package),
    FOREIGN KEY (computer, package) REFERENCES affectations ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TRIGGER progress_ends AFTER UPDATE OF state ON affectations WHEN new.state <> 'NOTIFIED'
BEGIN
    DELETE FROM progress WHERE computer = new.computer AND package = new.package;
END;
