"""Reports: the published Markdown form, and the measured one as Markdown, HTML, CSV and JSON."""
