"""What can be said from a matrix of marks beyond plain means. The only part of the review that needs numpy."""
