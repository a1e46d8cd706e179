"""The actor runtime: system, refs, mailboxes, supervision, processes; knows nothing of learning."""
