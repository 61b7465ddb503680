"""Nothing is lost: whatever fails, and whenever, what had arrived is on record with the reason."""
