"""Logs and metrics: what operators see. No bodies, no keys."""
