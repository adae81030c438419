"""A stand-in for model providers: a real HTTP server that speaks chat completions from a script, without any model."""
