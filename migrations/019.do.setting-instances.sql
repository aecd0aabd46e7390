-- Which settings each process lives by. Unlogged: the processes say it again.
CREATE UNLOGGED TABLE setting_instances (
  id uuid PRIMARY KEY,
  host text NOT NULL,
  pid integer NOT NULL,
  revision bigint NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  seen_at timestamptz NOT NULL DEFAULT now()
);
