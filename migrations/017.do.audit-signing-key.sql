-- The key that the valet key of an entry is signed with: what a signing key that leaked was used for can be told.
ALTER TABLE audit_log ADD COLUMN kid text;
