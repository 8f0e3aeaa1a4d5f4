-- Schema 3: which contacts an enrolled agent's identity made, to tell copies of it apart.

ALTER TABLE computers ADD COLUMN lineage TEXT NOT NULL DEFAULT '';        -- see package lineage
ALTER TABLE computers ADD COLUMN cloned INTEGER NOT NULL DEFAULT 0;       -- since when it is known on several
ALTER TABLE computers ADD COLUMN clone_called INTEGER NOT NULL DEFAULT 0; -- when one that is not kept last did
