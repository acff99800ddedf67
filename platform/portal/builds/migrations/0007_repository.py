import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("apps", "0011_deploy_branch"),
        ("builds", "0006_unsettled_builds"),
    ]

    operations = [
        migrations.AlterField(
            model_name="source",
            name="kind",
            field=models.CharField(
                choices=[
                    ("archive", "Archive"),
                    ("pushed", "Pushed image"),
                    ("referred", "Image from another registry"),
                    ("git", "Git repository"),
                ],
                default="archive",
                max_length=10,
            ),
        ),
        migrations.CreateModel(
            name="Repository",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("address", models.CharField(max_length=500)),
                ("branch", models.CharField(blank=True, max_length=200)),
                ("encrypted_token", models.BinaryField(null=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "app",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="repository",
                        to="apps.app",
                    ),
                ),
            ],
        ),
    ]
