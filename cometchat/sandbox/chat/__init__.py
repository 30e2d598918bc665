"""What users, groups, messages, conversations and calls do, and what is kept of them. It knows no network."""

__all__: "list[str]" = []
