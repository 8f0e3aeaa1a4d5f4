-- Schema 7: whose an agent's key is, for what others of its site pass on of it.

CREATE INDEX computers_by_key ON computers (agent_key) WHERE agent_key <> '';
