"""Background work whose processes really die."""
