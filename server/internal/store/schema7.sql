-- Schema 7: whose an agent's key is, for what others of its site pass on of it; and who may speak for the computers of a
-- site, found without a look at every computer.

CREATE INDEX computers_by_key ON computers (agent_key) WHERE agent_key <> '';

CREATE INDEX agents_by_site ON computers (judged_site, agent_key) WHERE agent_key <> '' AND revoked = 0;
