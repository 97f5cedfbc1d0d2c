"""Pictures and self-contained HTML pages made from summaries; heavy imports wait until a page is made."""
