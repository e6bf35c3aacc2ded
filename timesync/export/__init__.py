"""Views for other systems to scrape."""
