"""The built page, served at `/`. Its source is in web/ at the root of the repository."""
