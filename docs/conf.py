"""Sphinx configuration: Markdown pages, stored notebooks and a reference from docstrings, built without network."""

from __future__ import annotations

import sys
from pathlib import Path

from recon import __version__

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for `generated_pages`

project = "recon"
author = "The recon authors"
project_copyright = author
release = version = __version__

extensions = ["generated_pages", "myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "notebooks/.ipynb_checkpoints"]

# Notebooks are stored with their outputs; a build runs none.
nb_execution_mode = "off"
nb_merge_streams = True
myst_heading_anchors = 4

autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
default_role = "code"

# Without network there is no inventory of other projects, and type variables have no entry.
nitpick_ignore_regex = [(r"py:.*", r".*")]

html_theme = "furo"
html_title = f"recon {release}"
html_static_path = ["_static"]
html_css_files = ["recon.css"]
html_copy_source = False
html_show_sourcelink = False
