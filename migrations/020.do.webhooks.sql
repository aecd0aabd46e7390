-- Where events are sent over HTTP, and what became of each.
CREATE TABLE webhooks (
  id uuid PRIMARY KEY,
  url text NOT NULL,
  types text,
  description text NOT NULL DEFAULT '',
  -- Who made it, and the kinds of resources whose events they might know of then.
  owner text NOT NULL,
  kinds text[] NOT NULL,
  -- Sealed under SECRET_KEY. The one before signs as well for a while, so that receivers can change over.
  secret bytea NOT NULL,
  previous_secret bytea,
  previous_until timestamptz,
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'disabled')),
  reason text NOT NULL DEFAULT '',
  -- The receiver has asked for patience until then.
  not_before timestamptz NOT NULL DEFAULT now(),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE webhook_deliveries (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  webhook_id uuid NOT NULL REFERENCES webhooks ON DELETE CASCADE,
  event_id uuid NOT NULL,
  type text NOT NULL,
  state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
  attempts integer NOT NULL DEFAULT 0,
  status integer,
  error text,
  created_at timestamptz NOT NULL DEFAULT now(),
  tried_at timestamptz,
  next_attempt_at timestamptz DEFAULT now(),
  UNIQUE (webhook_id, event_id)
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, next_attempt_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_old ON webhook_deliveries (created_at) WHERE state <> 'pending';
