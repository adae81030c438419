"""Tests. unit/ mirrors src/; the other folders are named after what they inject or need."""
