-- Schema 4: which authorities an enrolled agent verifies the server with, as ocs.TrustDigest names them.

ALTER TABLE computers ADD COLUMN trusts TEXT NOT NULL DEFAULT ''; -- '': it never said
