"""The rules, and nothing but the rules: pure; no log, no clock, no threads."""
