-- What happens once in the life of a database, such as the sample data coming in.
CREATE TABLE milestones (
  name text PRIMARY KEY,
  reached_at timestamptz NOT NULL DEFAULT now()
);
