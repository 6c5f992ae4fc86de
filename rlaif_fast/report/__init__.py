"""What reports are made of: tables for the terminal and Markdown, a self-contained page, plots as SVG."""
