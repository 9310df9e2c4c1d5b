"""The ladder of checks that stops a bad run before it costs anything; each leaves what it looks at as it was."""
