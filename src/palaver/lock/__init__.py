"""A distributed lock on Redis or Valkey, with fencing."""
