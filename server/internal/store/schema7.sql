-- Schema 7: who may speak for the computers of a site, found without a look at every computer.

CREATE INDEX agents_by_site ON computers (judged_site, agent_key) WHERE agent_key <> '' AND revoked = 0;
