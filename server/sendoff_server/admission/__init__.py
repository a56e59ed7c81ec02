"""What is let through: quotas of tenants and keys, room for what comes at once, memory."""
