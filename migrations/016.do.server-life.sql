-- One row, which a server that crashes comes back without: what it had not written down by then is gone, and it gives the ids of those
-- transactions away again. Whoever asks what became of a transaction learns from it whether the id is still the same one.
CREATE UNLOGGED TABLE server_life (
  is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
  id uuid NOT NULL DEFAULT gen_random_uuid()
);
