"""The site's bot."""
