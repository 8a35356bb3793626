"""What is shown to people: tables, pages and pictures, all from records alone, without torch."""
