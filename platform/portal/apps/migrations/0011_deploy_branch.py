"""Add the branch of an app that deploys."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("apps", "0010_config_while_building"),
    ]

    operations = [
        migrations.AddField(
            model_name="app",
            name="deploy_branch",
            field=models.CharField(blank=True, default="", max_length=100),
        ),
    ]
