"""A last-writer-wins element set and a hybrid logical clock."""
